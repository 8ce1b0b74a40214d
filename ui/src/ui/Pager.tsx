import { Anchor, Group, Text } from "@mantine/core";
import { Link, useSearchParams } from "react-router";

import { strings } from "../lib/strings";

/** The page of a list is in the address, so that "back" and a copied link keep it. Counts from 1. */
export function pageOf(search: URLSearchParams): number {
  const page = Number(search.get("page") ?? "1");
  return Number.isSafeInteger(page) && page > 0 ? page : 1;
}

export function usePage(): number {
  const [search] = useSearchParams();
  return pageOf(search);
}

/** Links to the neighbouring pages; nothing when everything fits on one. */
export function Pager({ page, size, total }: { page: number; size: number; total: number }) {
  const [search] = useSearchParams();
  if (page === 1 && total <= size) return null;
  const to = (target: number) => {
    const next = new URLSearchParams(search);
    if (target === 1) next.delete("page");
    else next.set("page", String(target));
    return { search: next.toString() };
  };
  const first = (page - 1) * size + 1;
  const last = Math.min(page * size, total);
  return (
    <Group role="navigation" aria-label={strings.app.pages} mt="sm" gap="md">
      {page > 1 && (
        <Anchor component={Link} to={to(page - 1)} size="sm">
          {strings.app.previous}
        </Anchor>
      )}
      <Text size="sm">{strings.app.of(Math.min(first, total), last, total)}</Text>
      {last < total && (
        <Anchor component={Link} to={to(page + 1)} size="sm">
          {strings.app.next}
        </Anchor>
      )}
    </Group>
  );
}
