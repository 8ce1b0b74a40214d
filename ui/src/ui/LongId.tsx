/** A long identifier on one line with its middle left out when there is no room: the end of a run id tells more than its middle. */
import classes from "./longid.module.css";

const TAIL = 12;

export function LongId({ id }: { id: string }) {
  if (id.length <= TAIL * 2) return <span className={classes.whole}>{id}</span>;
  return (
    <span className={classes.id} title={id}>
      <span className={classes.head}>{id.slice(0, -TAIL)}</span>
      <span className={classes.tail}>{id.slice(-TAIL)}</span>
    </span>
  );
}
