import type { GridRun } from "../../lib/grid/types";
import { wall } from "../../lib/time";

const two = (n: number) => String(n).padStart(2, "0");
/** Pixels of a label of five characters, and a little room. */
const LABEL = 40;

/** Dates over the columns, as many as there is room for: the day where it begins (`11-21`), times of day between. */
export function labelsOf(runs: readonly Pick<GridRun, "run_after">[], columnWidth: number): (string | null)[] {
  const apart = Math.ceil(LABEL / columnWidth);
  const labels: (string | null)[] = runs.map(() => null);
  const walls = runs.map((run) => wall(Date.parse(run.run_after)));
  const isNewDay = walls.map((at, index) => {
    const before = walls[index - 1];
    return before === undefined || before.day !== at.day || before.month !== at.month || before.year !== at.year;
  });
  let free = 0;
  walls.forEach((at, index) => {
    if (index < free) return;
    if (isNewDay[index] === true) {
      labels[index] = `${two(at.month)}-${two(at.day)}`;
      free = index + apart;
      return;
    }
    // A time of day gives way to a day that begins where its label would end.
    for (let next = index + 1; next < index + apart; next++) if (isNewDay[next] === true) return;
    labels[index] = `${two(at.hour)}:${two(at.minute)}`;
    free = index + apart;
  });
  return labels;
}
