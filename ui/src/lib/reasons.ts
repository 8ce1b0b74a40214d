import { strings, type Params } from "./strings";
import { spelledOut } from "./strings/reasons";

/** A code with its parameters beside it, as `GET /ui/why` answers: `{code: "pool_full", pool: "db", used: 5, slots: 5}`. */
export type Reason = { code: string } & Params;

/** The sentence of a reason. A code this build does not know is said in the server's words, or spelled out. */
export function reasonText({ code, ...params }: Reason): string {
  const sentences: Record<string, (params: Params) => string> = strings.reasons;
  const sentence = Object.hasOwn(sentences, code) ? sentences[code]?.(params) : params["message"];
  return typeof sentence === "string" ? sentence : spelledOut(code, params);
}
