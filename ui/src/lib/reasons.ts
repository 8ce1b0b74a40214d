import { strings, type Params } from "./strings";

/** A code with its parameters beside it, as `GET /ui/why` answers: `{code: "pool_full", pool: "db", used: 5, slots: 5}`. */
export type Reason = { code: string } & Params;

/** The sentence of a reason. A code this build does not know is said in the server's words, or spelled out. */
export function reasonText({ code, ...params }: Reason): string {
  const sentence = Object.hasOwn(strings.reasons, code) ? strings.reasons[code]?.(params) : params["message"];
  return typeof sentence === "string" ? sentence : strings.unknownReason(code, params);
}
