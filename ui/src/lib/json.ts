/** Values of tasks, as a table where they are one. */
export type Row = Record<string, unknown>;

const COLUMNS = 12;

/** A list of objects that mostly have the same fields. */
export function isRecords(value: unknown): value is Row[] {
  if (!Array.isArray(value) || value.length === 0) return false;
  const isRow = (row: unknown) => row !== null && typeof row === "object" && !Array.isArray(row);
  if (!value.every(isRow)) return false;
  const columns = columnsOf(value as Row[]);
  const filled = (value as Row[]).reduce((sum, row) => sum + Object.keys(row).length, 0);
  return columns.length > 0 && columns.length <= COLUMNS && filled >= columns.length * value.length * 0.5;
}

/** The fields of rows, in the order in which they appear. */
export const columnsOf = (rows: readonly Row[]): string[] => [...new Set(rows.flatMap((row) => Object.keys(row)))];
