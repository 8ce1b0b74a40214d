/**
 * How well a query fits a text, for lists that are searched in the browser: null when its letters do not appear in order, else higher
 * is better. Beginnings of words count most, then letters that follow each other.
 */
export function fuzzy(query: string, text: string): number | null {
  const wanted = query.toLowerCase().replaceAll(/\s+/g, "");
  const given = text.toLowerCase();
  let score = 0;
  let at = -1;
  for (const letter of wanted) {
    const next = given.indexOf(letter, at + 1);
    if (next < 0) return null;
    const isStart = next === 0 || /[\s_.\-/:›]/.test(given[next - 1] ?? "");
    if (next === at + 1) score += 3;
    if (isStart) score += 4;
    score -= Math.min(next - at - 1, 6) * 0.1;
    at = next;
  }
  return score - given.length * 0.01;
}
