import { Anchor, Breadcrumbs, Group, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "react-router";

import { strings } from "../lib/strings";

export interface Crumb {
  label: string;
  to: string;
}

/** Title of the tab, where we are, the one `<h1>`, and what can be done here. */
export function PageHead({ title, crumbs = [], children }: { title: string; crumbs?: Crumb[]; children?: ReactNode }) {
  return (
    <header>
      <title>{strings.app.title(title)}</title>
      {crumbs.length > 0 && (
        <nav aria-label={strings.app.breadcrumbs}>
          <Breadcrumbs separatorMargin={6}>
            {crumbs.map(({ label, to }) => (
              <Anchor key={to} component={Link} to={to} size="sm" underline="always">
                {label}
              </Anchor>
            ))}
          </Breadcrumbs>
        </nav>
      )}
      <Group justify="space-between" mb="md" mt={4} gap="sm">
        <Title order={1} size="h3" style={{ overflowWrap: "anywhere" }}>
          {title}
        </Title>
        <Group gap="sm">{children}</Group>
      </Group>
    </header>
  );
}
