/**
 * `PageHead`: title of the tab, breadcrumbs (shown in the frame's bar), the one `<h1>`, and what can be done here (`children`).
 * `Fill`: what is inside has the height that the window leaves, for a list or a graph that scrolls by itself.
 */
import { Group, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { createPortal } from "react-dom";
import { Link } from "react-router";

import { strings } from "../lib/strings";
import { LongId } from "./LongId";
import classes from "./page.module.css";
import { useCrumbsSlot } from "./slot";

export interface Crumb {
  label: string;
  to: string;
}

interface Props {
  title: string;
  /** What it is called among the breadcrumbs, when that is not its title. */
  crumb?: string;
  /** From the top down, without this page itself. */
  crumbs?: Crumb[];
  /** A state or a switch before the title. */
  before?: ReactNode;
  /** A state or a fact behind it. */
  after?: ReactNode;
  children?: ReactNode;
}

export function PageHead({ title, crumb = title, crumbs = [], before, after, children }: Props) {
  const slot = useCrumbsSlot();
  return (
    <div className={classes.head}>
      <title>{strings.app.title(title)}</title>
      {slot !== null && createPortal(<Crumbs crumbs={crumbs} title={crumb} />, slot)}
      <div className={classes.title}>
        {before}
        <Title order={1} className={classes.h1}>
          {title}
        </Title>
        {after}
      </div>
      <Group gap={8}>{children}</Group>
    </div>
  );
}

function Crumbs({ crumbs, title }: { crumbs: Crumb[]; title: string }) {
  return (
    <nav aria-label={strings.app.breadcrumbs} className={classes.crumbs}>
      <ol>
        {crumbs.map(({ label, to }) => (
          <li key={to}>
            <Link to={to}>
              <LongId id={label} />
            </Link>
          </li>
        ))}
        <li aria-current="page">
          <LongId id={title} />
        </li>
      </ol>
    </nav>
  );
}

export const Fill = ({ children }: { children: ReactNode }) => <div className={classes.fill}>{children}</div>;
