/** Grey shapes in the geometry of what comes. They show after a moment only (CSS), so a quick answer never flashes them. */
import { strings } from "../lib/strings";
import classes from "./states.module.css";

/** Rows of a list or table. */
export function SkeletonRows({ rows = 8, height = "var(--row)" }: { rows?: number; height?: string | number }) {
  return (
    <div className={classes.skeletons} role="status" aria-label={strings.app.loading}>
      {Array.from({ length: rows }, (_, row) => (
        <div key={row} className={classes.skeletonRow} style={{ height }}>
          <span style={{ width: `${30 + ((row * 37) % 40)}%` }} />
        </div>
      ))}
    </div>
  );
}

/** One box: a chart, a graph, a card. */
export function SkeletonBox({ height }: { height: number | string }) {
  return (
    <div className={classes.skeletons} role="status" aria-label={strings.app.loading}>
      <div className={classes.skeletonBox} style={{ height }} />
    </div>
  );
}

/** A word within a row. */
export const SkeletonText = ({ width = 80 }: { width?: number }) => (
  <span className={classes.skeletonText} style={{ width }} aria-hidden="true" />
);
