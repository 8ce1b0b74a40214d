/** What the address says the list of DAGs is to show, and how that is typed: `pay tag:finance owner:li`. */
import { DAG_ORDERS, DAG_STATES, type DagListFilter } from "../../api/queries/dagList";

export function filterOf(search: URLSearchParams): DagListFilter {
  const paused = search.get("paused");
  return {
    q: search.get("q") ?? "",
    tags: search.getAll("tag"),
    owners: search.getAll("owner"),
    state: DAG_STATES.find((state) => state === search.get("state")) ?? null,
    paused: paused === "true" ? true : paused === "false" ? false : null,
    favorite: search.get("favorite") === "true",
    order: DAG_ORDERS.find((order) => order === search.get("order")) ?? "failing",
  };
}

/** The other way round; what is as it is without being said is left out. */
export function searchOf(filter: DagListFilter): URLSearchParams {
  const search = new URLSearchParams();
  if (filter.q !== "") search.set("q", filter.q);
  for (const tag of filter.tags) search.append("tag", tag);
  for (const owner of filter.owners) search.append("owner", owner);
  if (filter.state !== null) search.set("state", filter.state);
  if (filter.paused !== null) search.set("paused", String(filter.paused));
  if (filter.favorite) search.set("favorite", "true");
  if (filter.order !== "failing") search.set("order", filter.order);
  return search;
}

type Typed = Pick<DagListFilter, "q" | "tags" | "owners">;

/** A value with a space in it is put in quotes. */
const quoted = (value: string) => (/\s/.test(value) ? `"${value}"` : value);

export const typedOf = ({ q, tags, owners }: Typed) =>
  [q, ...tags.map((tag) => `tag:${quoted(tag)}`), ...owners.map((owner) => `owner:${quoted(owner)}`)]
    .filter((part) => part !== "")
    .join(" ");

export function parseTyped(text: string): Typed {
  const typed: Typed = { q: "", tags: [], owners: [] };
  const rest = text.replaceAll(
    /\b(tag|owner):(?:"([^"]*)"|(\S+))/g,
    (_, key: string, inQuotes?: string, bare?: string) => {
      const value = inQuotes ?? bare ?? "";
      if (value !== "") (key === "tag" ? typed.tags : typed.owners).push(value);
      return "";
    },
  );
  // A word that is only begun is not searched for as a name.
  typed.q = rest
    .replaceAll(/\b(?:tag|owner):(?=\s|$)/g, "")
    .trim()
    .replaceAll(/\s+/g, " ");
  return typed;
}

export const isFiltered = ({ q, tags, owners, state, paused, favorite }: DagListFilter) =>
  q !== "" || tags.length > 0 || owners.length > 0 || state !== null || paused !== null || favorite;
