/** Numbers in sentences. */
const rules = new Intl.PluralRules("en");
const numbers = new Intl.NumberFormat("en");

/** `1,234`; the same in both languages. */
export const number = (n: number) => numbers.format(n);

/** "1 task", "4 tasks": the forms of English. Chinese has one form: write it out. */
export const count = (n: number, one: string, other: string) =>
  `${number(n)} ${rules.select(n) === "one" ? one : other}`;

/** The word alone: "task", "tasks". */
export const plural = (n: number, one: string, other: string) => (rules.select(n) === "one" ? one : other);

/** A parameter that the server gave, as text. */
export const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
