import { useMemo, useState } from "react";

import {
  check,
  draftsOf,
  extraOf,
  fieldsOf,
  read,
  type Draft,
  type Drafts,
  type Field,
  type Problem,
} from "../../lib/params/fields";
import { strings } from "../../lib/strings";

export interface Conf {
  fields: Field[];
  drafts: Drafts;
  extra: Record<string, unknown>;
  /** What would be sent; fields with a problem are missing from it. */
  conf: Record<string, unknown>;
  problems: Record<string, Problem>;
  /** The sentence for a field, once it was touched or everything was asked for. */
  errorOf: (field: Field) => string | null;
  /** The first thing that is wrong, in words. */
  firstProblem: string | null;
  change: (name: string, draft: Draft) => void;
  /** The same as JSON, and what is wrong with that. */
  text: string;
  textError: string | null;
  changeText: (text: string) => void;
  /** Shows what is wrong with fields that nobody has touched. */
  complain: () => void;
}

/** The state of a form over the params of a DAG, which can be filled in as fields or as JSON. */
export function useConf(params: Record<string, unknown> | null, initial: Record<string, unknown>): Conf {
  const fields = useMemo(() => fieldsOf(params), [params]);
  const [drafts, setDrafts] = useState(() => draftsOf(fields, initial));
  const [extra, setExtra] = useState(() => extraOf(fields, initial));
  const [touched, setTouched] = useState<ReadonlySet<string>>(new Set());
  const [all, setAll] = useState(false);
  /** What is typed as JSON, while it is not the same as the fields. */
  const [typed, setTyped] = useState<{ text: string; error: string | null } | null>(null);

  const { conf, problems } = useMemo(() => read(fields, drafts, extra), [fields, drafts, extra]);
  const wrong = fields.find(({ name }) => problems[name] !== undefined);
  const sentence = (field: Field) => {
    const problem = problems[field.name];
    return problem === undefined ? null : strings.trigger.problem(field.title, problem);
  };
  return {
    fields,
    drafts,
    extra,
    conf,
    problems,
    errorOf: (field) => (all || touched.has(field.name) ? sentence(field) : null),
    firstProblem: typed?.error ?? (wrong === undefined ? null : sentence(wrong)),
    change(name, draft) {
      setDrafts((before) => ({ ...before, [name]: draft }));
      setTouched((before) => new Set(before).add(name));
      setTyped(null);
    },
    text: typed?.text ?? JSON.stringify(conf, null, 2),
    textError: typed?.error ?? null,
    changeText(text) {
      const found = objectOf(text);
      if (typeof found === "string") {
        setTyped({ text, error: found });
        return;
      }
      const bad = fields.flatMap((field) => {
        const problem = Object.hasOwn(found, field.name) ? check(field, found[field.name]) : null;
        return problem === null ? [] : [strings.trigger.problem(field.title, problem)];
      });
      setTyped({ text, error: bad[0] ?? null });
      setDrafts(draftsOf(fields, found));
      setExtra(extraOf(fields, found));
    },
    complain: () => setAll(true),
  };
}

/** An object, or what is wrong with the text. Nothing is an empty object. */
function objectOf(text: string): Record<string, unknown> | string {
  if (text.trim() === "") return {};
  try {
    const value = JSON.parse(text) as unknown;
    return value !== null && typeof value === "object" && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : strings.trigger.confObject;
  } catch (error) {
    return strings.app.notJson(error instanceof Error ? error.message : "");
  }
}
