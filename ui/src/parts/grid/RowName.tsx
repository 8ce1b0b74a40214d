import type { CSSProperties } from "react";

import type { Row } from "../../lib/grid/rows";
import { strings } from "../../lib/strings";
import classes from "./rows.module.css";

interface Props {
  row: Row;
  /** Its place among the rows that are shown. */
  at: number;
  isOpen: boolean;
  /** Where the name of a task leads. */
  href: string | null;
  isTabStop: boolean;
  onToggle: (groupId: string) => void;
}

/** The name of a row, which stays at the left: a group folds and unfolds, a task leads to its history. */
export function RowName({ row, at, isOpen, href, isTabStop, onToggle }: Props) {
  const common = { "data-at": `${at},-1`, tabIndex: isTabStop ? 0 : -1, title: row.id };
  return (
    <div className={classes.name} role="rowheader" style={{ "--depth": row.depth } as CSSProperties}>
      {row.kind === "group" ? (
        <button
          type="button"
          className={classes.group}
          aria-expanded={isOpen}
          onClick={() => onToggle(row.id)}
          {...common}
        >
          <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" data-open={isOpen ? "" : undefined}>
            <path d="M4.2 2.5 8 6l-3.8 3.5" />
          </svg>
          <span>{row.label}</span>
          <small>{row.tasks.length}</small>
        </button>
      ) : href === null ? (
        <span className={classes.task} title={row.id}>
          {row.label}
        </span>
      ) : (
        <a className={classes.task} href={href} {...common}>
          <span>{row.label}</span>
          {row.isMapped && <small title={strings.dag.isMapped}>{strings.dag.mappedMark}</small>}
        </a>
      )}
    </div>
  );
}
