import { strings, type Params } from "./strings";

/** A code with its parameters beside it, as `GET /ui/why` answers: `{code: "pool_full", pool: "db", used: 5, slots: 5}`. */
export type Reason = { code: string } & Params;

/** The sentence of a reason. A code this build does not know is spelled out rather than hidden. */
export function reasonText({ code, ...params }: Reason): string {
  return strings.reasons[code]?.(params) ?? strings.unknownReason(code, params);
}
