const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** `512 B`, `4.2 kB`, `150 MB`: powers of 1000, three digits at most. */
export function bytes(n: number): string {
  let [value, unit] = [n, 0];
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit++;
  }
  return `${unit === 0 || value >= 9.95 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
