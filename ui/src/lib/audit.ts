/** A row of the audit trail as a sentence: which one, and what stands in it. Pure; the sentences are in the catalogue. */

export interface AuditFacts {
  event: string;
  owner: string | null;
  dag_id: string | null;
  run_id: string | null;
  task_id: string | null;
  map_index: number | null;
  extra: string | null;
}

export interface Change {
  what: string;
  /** Undefined: not known. */
  before: unknown;
  after: unknown;
}

export interface Told {
  /** A key of the sentences; an event without one is told by its name. */
  key: string;
  /** The name of what it is about, for what is neither a DAG, a run nor a task. */
  name: string | null;
  /** How many of them. */
  count: number | null;
  changes: Change[];
}

type Extra = Record<string, unknown>;

function parse(extra: string | null): Extra {
  if (extra === null) return {};
  try {
    const value = JSON.parse(extra) as unknown;
    return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Extra) : {};
  } catch {
    return {};
  }
}

/** What names the object, in the order of preference. */
const NAMES = [
  "connection_id",
  "key",
  "pool",
  "pool_name",
  "username",
  "name",
  "backfill_id",
  "asset_id",
  "file_token",
];
/** Not worth a word: said by the sentence, or of no meaning to people. */
const SILENT = new Set(["method", "dag_run_id", "dry_run", "update_mask", "by", "id", ...NAMES]);

export function told(row: AuditFacts): Told {
  const extra = parse(row.extra);
  const key = keyOf(row.event, extra);
  const named = NAMES.find((one) => typeof extra[one] === "string" || typeof extra[one] === "number");
  const count = [extra["cleared"], extra["count"], extra["affected"]].find((one) => typeof one === "number");
  return {
    key,
    name: named === undefined ? null : String(extra[named]),
    count: count ?? null,
    changes: changesOf(key, extra),
  };
}

/** One event may be one of several deeds. */
function keyOf(event: string, extra: Extra): string {
  if (
    (event === "patch_dag" || event === "patch_dags" || event === "paused") &&
    typeof extra["is_paused"] === "boolean"
  ) {
    const many = event === "patch_dags" ? "_many" : "";
    if (event === "paused") return "paused_after_failures";
    return (extra["is_paused"] ? "pause_dag" : "unpause_dag") + many;
  }
  if (event === "patch_dag_run" || event === "patch_task_instance") {
    const state = extra["new_state"] ?? extra["state"];
    if (state === "success") return `${event}_success`;
    if (state === "failed") return `${event}_failed`;
    if (typeof extra["note"] === "string") return `${event}_note`;
  }
  return event;
}

const isPair = (value: unknown): value is { before: unknown; after: unknown } =>
  value !== null && typeof value === "object" && "before" in value && "after" in value;

function changesOf(key: string, extra: Extra): Change[] {
  // Where both are kept, they are beside each other: {before: {…}, after: {…}}, or {slots: {before, after}}.
  if (isPair(extra)) {
    const [before, after] = [asObject(extra.before), asObject(extra.after)];
    if (before !== null && after !== null) {
      return [...new Set([...Object.keys(before), ...Object.keys(after)])]
        .filter((what) => JSON.stringify(before[what]) !== JSON.stringify(after[what]))
        .map((what) => ({ what, before: before[what], after: after[what] }));
    }
  }
  const said = SAID[key] ?? [];
  return Object.entries(extra).flatMap(([what, value]) => {
    if (isPair(value)) return [{ what, before: value.before, after: value.after }];
    if (SILENT.has(what) || said.includes(what) || isNothing(value)) return [];
    return [{ what, before: undefined, after: value }];
  });
}

/** What the sentence of a key already tells. */
const SAID: Record<string, string[]> = {
  pause_dag: ["is_paused"],
  unpause_dag: ["is_paused"],
  paused_after_failures: ["is_paused", "reason"],
  patch_dag_run_success: ["state", "new_state"],
  patch_dag_run_failed: ["state", "new_state"],
  patch_task_instance_success: ["state", "new_state"],
  patch_task_instance_failed: ["state", "new_state"],
  post_clear_task_instances: ["cleared"],
  clear_task_instances: ["cleared"],
};

const asObject = (value: unknown): Extra | null =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Extra) : null;

const isNothing = (value: unknown) =>
  value === null ||
  value === undefined ||
  value === false ||
  value === "" ||
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === "object" && Object.keys(value).length === 0);

/** A value in a line: short, whatever it is. */
export function brief(value: unknown, most = 80): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

export type Piece = { kind: "text"; text: string } | { kind: "slot"; slot: string };

/** "paused {dag}" as pieces, so that what is in braces can be a link. */
export function pieces(sentence: string): Piece[] {
  return sentence.split(/(\{[a-z]+\})/).flatMap((part): Piece[] => {
    if (part === "") return [];
    const slot = /^\{([a-z]+)\}$/.exec(part)?.[1];
    return [slot === undefined ? { kind: "text", text: part } : { kind: "slot", slot }];
  });
}
