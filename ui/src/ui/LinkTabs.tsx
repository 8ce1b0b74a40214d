/** Tabs that are addresses. On a narrow window they scroll sideways and keep their words. */
import type { ReactNode } from "react";
import { NavLink } from "react-router";

import classes from "./tabs.module.css";

export interface LinkTab {
  to: string;
  label: ReactNode;
  /** Only this very address is the tab, not what is below it. */
  end?: boolean;
}

export function LinkTabs({ label, tabs }: { label: string; tabs: LinkTab[] }) {
  return (
    <nav aria-label={label} className={classes.tabs}>
      {tabs.map(({ to, label: text, end = true }) => (
        <NavLink key={to} to={to} end={end}>
          {text}
        </NavLink>
      ))}
    </nav>
  );
}
