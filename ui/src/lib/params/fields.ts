/**
 * The params of a DAG (a JSON Schema each) as fields of a form, what is typed into them as values, and what is wrong with it. Pure: a
 * problem is a code with what it needs to be said; the words are in the catalogue.
 */

export type FieldKind =
  | "text"
  | "multiline"
  | "number"
  | "integer"
  | "choice"
  | "choices"
  | "boolean"
  | "date"
  | "datetime"
  | "time"
  | "lines"
  | "json";

export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  description_md?: string;
  section?: string;
  enum?: unknown[];
  examples?: unknown[];
  values_display?: Record<string, string>;
  const?: unknown;
  format?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
}

export interface Option {
  /** What the form holds; `JSON.stringify` of the value, so that 1 and "1" are two options. */
  key: string;
  label: string;
  value: unknown;
}

export interface Field {
  name: string;
  title: string;
  description: string | null;
  section: string | null;
  kind: FieldKind;
  nullable: boolean;
  /** Empty is not an answer. */
  required: boolean;
  options: Option[];
  schema: Schema;
  /** The DAG's own value. */
  value: unknown;
}

/** What a form control holds. Null: deliberately nothing. */
export type Draft = string | boolean | string[] | null;

export type Problem =
  | { code: "required" }
  | { code: "number" }
  | { code: "integer" }
  | { code: "min" | "max" | "above" | "below" | "multiple"; limit: number }
  | { code: "minLength" | "maxLength"; limit: number; length: number }
  | { code: "minItems" | "maxItems"; limit: number; length: number }
  | { code: "pattern"; pattern: string }
  | { code: "format"; format: string }
  | { code: "notListed"; values: string[] }
  | { code: "duplicates"; value: string }
  | { code: "json"; message: string }
  | { code: "type"; wanted: string }
  | { code: "missingKey"; key: string };

const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value);

/** A param is `{value, description, schema}` as the API serves it, or a bare value. */
function unwrap(param: unknown): { value: unknown; description: string | null; schema: Schema } {
  if (isObject(param) && "value" in param && (isObject(param["schema"]) || "__class" in param)) {
    const schema = (isObject(param["schema"]) ? param["schema"] : {}) as Schema;
    const description = typeof param["description"] === "string" ? param["description"] : null;
    return { value: param["value"], description, schema };
  }
  return { value: param, description: null, schema: {} };
}

const typesOf = (schema: Schema): string[] =>
  schema.type === undefined ? [] : typeof schema.type === "string" ? [schema.type] : schema.type;

function kindOf(schema: Schema, value: unknown): FieldKind {
  const types = typesOf(schema).filter((type) => type !== "null");
  if (schema.enum !== undefined) return types.includes("array") ? "choices" : "choice";
  const type = types.length === 1 ? types[0] : types.length > 1 ? "any" : typeOf(value);
  switch (type) {
    case "boolean":
      return "boolean";
    case "integer":
      return "integer";
    case "number":
      return "number";
    case "array": {
      if (schema.examples !== undefined) return "choices";
      const item =
        schema.items === undefined ? typeOf(Array.isArray(value) ? value[0] : undefined) : typesOf(schema.items)[0];
      const isText = item === "string" || (item === "null" && schema.items === undefined);
      return isText && (!Array.isArray(value) || value.every((one) => typeof one === "string")) ? "lines" : "json";
    }
    case "string":
      if (schema.format === "date") return "date";
      if (schema.format === "date-time") return "datetime";
      // One with a zone is typed: the control for times has none.
      if (schema.format === "time" && (typeof value !== "string" || TIME.test(value))) return "time";
      if (schema.format === "multiline") return "multiline";
      return typeof value === "string" && value.includes("\n") ? "multiline" : "text";
    case "null":
      return "text";
    default:
      return "json";
  }
}

function typeOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

const show = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

function optionsOf(schema: Schema): Option[] {
  return (schema.enum ?? schema.examples ?? []).map((value) => ({
    key: JSON.stringify(value),
    label: schema.values_display?.[String(value)] ?? show(value),
    value,
  }));
}

/** The fields, in the DAG's order. Params with a `const` are no choice and have no field; they keep their value. */
export function fieldsOf(params: Record<string, unknown> | null): Field[] {
  return Object.entries(params ?? {}).flatMap(([name, param]) => {
    const { value, description, schema } = unwrap(param);
    if ("const" in schema) return [];
    const types = typesOf(schema);
    const kind = kindOf(schema, value);
    const nullable = types.includes("null") || (types.length === 0 && value === null);
    return {
      name,
      title: schema.title ?? name,
      description: schema.description_md ?? schema.description ?? description,
      section: schema.section ?? null,
      kind,
      nullable,
      // A text may be empty unless it has a shape; anything else that is not nullable needs an answer.
      required: !nullable && !takesNothing(kind, schema),
      options: optionsOf(schema),
      schema,
      value,
    } satisfies Field;
  });
}

const takesNothing = (kind: FieldKind, schema: Schema) =>
  kind === "boolean" ||
  (isFreeText(kind) && !(schema.minLength ?? 0)) ||
  ((kind === "lines" || kind === "choices") && !(schema.minItems ?? 0));

const isFreeText = (kind: FieldKind) => kind === "text" || kind === "multiline";

/** Fields by section; those without one come first. */
export function sectionsOf(fields: Field[]): { section: string | null; fields: Field[] }[] {
  const found: { section: string | null; fields: Field[] }[] = [];
  for (const field of fields) {
    const known = found.find(({ section }) => section === field.section);
    if (known === undefined) found.push({ section: field.section, fields: [field] });
    else known.fields.push(field);
  }
  return found.toSorted((a, b) => Number(a.section !== null) - Number(b.section !== null));
}

/** A value as its control holds it. */
export function draftOf(field: Field, value: unknown): Draft {
  if (value === undefined) return draftOf(field, field.value ?? null);
  switch (field.kind) {
    case "boolean":
      return value === null && field.nullable ? null : value === true;
    case "choice":
      return value === null && !field.options.some(({ key }) => key === "null") ? null : JSON.stringify(value);
    case "choices":
      return Array.isArray(value) ? value.map((one) => JSON.stringify(one)) : [];
    case "lines":
      return value === null ? null : Array.isArray(value) ? value.map(show).join("\n") : show(value);
    case "json":
      return value === null ? (field.nullable ? "" : "null") : JSON.stringify(value, null, 2);
    default:
      return value === null ? null : show(value);
  }
}

export type Parsed = { value: unknown; problem: null } | { problem: Problem };

const good = (value: unknown): Parsed => ({ value, problem: null });
const bad = (problem: Problem): Parsed => ({ problem });

/** What the control holds as a value, or the first thing that is wrong with it. */
export function parse(field: Field, draft: Draft): Parsed {
  const { schema, kind } = field;
  if (kind === "boolean") return good(draft === null && field.nullable ? null : draft === true);
  const empty = draft === null || draft === "" || (Array.isArray(draft) && draft.length === 0);
  if (empty) {
    if (field.nullable && kind !== "choices") return good(null);
    if (field.required) return bad({ code: "required" });
    if (kind === "choices" || kind === "lines") return items(schema, []);
    return text(field, "");
  }
  if (Array.isArray(draft))
    return items(
      schema,
      draft.map((key) => valueOf(field, key)),
    );
  const typed = String(draft);
  switch (kind) {
    case "choice": {
      const option = field.options.find(({ key }) => key === typed);
      return option === undefined
        ? bad({ code: "notListed", values: field.options.map(({ label }) => label) })
        : good(option.value);
    }
    case "integer":
    case "number":
      return number(schema, typed.trim(), kind);
    case "lines":
      return items(
        schema,
        typed
          .split("\n")
          .map((line) => line.trim())
          .filter((line) => line !== ""),
      );
    case "json":
      return json(field, typed);
    default:
      return text(field, typed);
  }
}

const valueOf = (field: Field, key: string): unknown => {
  const option = field.options.find((one) => one.key === key);
  if (option !== undefined) return option.value;
  try {
    return JSON.parse(key) as unknown;
  } catch {
    return key;
  }
};

function number(schema: Schema, typed: string, kind: "integer" | "number"): Parsed {
  const value = Number(typed);
  if (typed === "" || !Number.isFinite(value)) return bad({ code: "number" });
  if (kind === "integer" && !Number.isInteger(value)) return bad({ code: "integer" });
  return numberProblem(schema, value) ?? good(value);
}

function numberProblem(schema: Schema, value: number): Parsed | null {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema;
  if (minimum !== undefined && value < minimum) return bad({ code: "min", limit: minimum });
  if (maximum !== undefined && value > maximum) return bad({ code: "max", limit: maximum });
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum)
    return bad({ code: "above", limit: exclusiveMinimum });
  if (exclusiveMaximum !== undefined && value >= exclusiveMaximum)
    return bad({ code: "below", limit: exclusiveMaximum });
  if (multipleOf !== undefined && !isMultiple(value, multipleOf)) return bad({ code: "multiple", limit: multipleOf });
  return null;
}

const isMultiple = (value: number, of: number) => Math.abs(value / of - Math.round(value / of)) < 1e-9;

function items(schema: Schema, values: unknown[]): Parsed {
  const { minItems, maxItems } = schema;
  if (minItems !== undefined && values.length < minItems)
    return bad({ code: "minItems", limit: minItems, length: values.length });
  if (maxItems !== undefined && values.length > maxItems)
    return bad({ code: "maxItems", limit: maxItems, length: values.length });
  if (schema.uniqueItems === true) {
    const seen = new Set<string>();
    for (const value of values) {
      const key = JSON.stringify(value);
      if (seen.has(key)) return bad({ code: "duplicates", value: show(value) });
      seen.add(key);
    }
  }
  return good(values);
}

const two = /^\d{4}-\d{2}-\d{2}$/;
const ZONED = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/i;
const TIME = /^\d{2}:\d{2}(:\d{2})?$/;
const CLOCK = /^\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})?$/i;
const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function fits(format: string, value: string): boolean {
  switch (format) {
    case "date": {
      // 2026-02-30 parses as the 2nd of March: the day must come back.
      const time = Date.parse(`${value}T00:00:00Z`);
      return two.test(value) && !Number.isNaN(time) && new Date(time).toISOString().startsWith(value);
    }
    case "date-time":
      return ZONED.test(value) && !Number.isNaN(Date.parse(value.replace(" ", "T")));
    case "time":
      return CLOCK.test(value) && Number(value.slice(0, 2)) < 24 && Number(value.slice(3, 5)) < 60;
    case "email":
    case "idn-email":
      return EMAIL.test(value);
    case "uri":
    case "url":
      return URL.canParse(value);
    case "uuid":
      return UUID.test(value);
    default:
      return true;
  }
}

function text({ schema }: Field, value: string): Parsed {
  const { minLength, maxLength, pattern, format } = schema;
  // Characters as people count them, which is what the server counts too.
  const length = [...value].length;
  if (minLength !== undefined && length < minLength) return bad({ code: "minLength", limit: minLength, length });
  if (maxLength !== undefined && length > maxLength) return bad({ code: "maxLength", limit: maxLength, length });
  if (format !== undefined && !fits(format, value)) return bad({ code: "format", format });
  if (pattern !== undefined && matches(pattern, value) === false) return bad({ code: "pattern", pattern });
  return good(value);
}

/** Null: a pattern that this browser does not understand; the server decides. */
function matches(pattern: string, value: string): boolean | null {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return null;
  }
}

function json(field: Field, typed: string): Parsed {
  let value: unknown;
  try {
    value = JSON.parse(typed);
  } catch (error) {
    return bad({ code: "json", message: error instanceof Error ? error.message : "" });
  }
  const types = typesOf(field.schema);
  if (types.length > 0 && !types.some((type) => isOf(type, value)))
    return bad({ code: "type", wanted: types.join(", ") });
  const key = isObject(value) ? field.schema.required?.find((one) => !Object.hasOwn(value as object, one)) : undefined;
  if (key !== undefined) return bad({ code: "missingKey", key });
  return Array.isArray(value) ? items(field.schema, value) : good(value);
}

function isOf(type: string, value: unknown): boolean {
  if (type === "number") return typeof value === "number";
  if (type === "object") return isObject(value);
  return typeOf(value) === type;
}

/** Whether this value may be put into the field, for what comes as JSON and not from a control. */
export const check = (field: Field, value: unknown): Problem | null => {
  if (value === null) return field.nullable || field.kind === "json" ? null : { code: "required" };
  const wanted = typesOf(field.schema);
  if (wanted.length > 0 && field.schema.enum === undefined && !wanted.some((type) => isOf(type, value)))
    return { code: "type", wanted: wanted.join(", ") };
  return parse(field, draftOf(field, value)).problem;
};

export type Drafts = Record<string, Draft>;

/** The form as it opens: the DAG's values, with those of a former run over them. */
export const draftsOf = (fields: Field[], conf: Record<string, unknown>): Drafts =>
  Object.fromEntries(
    fields.map((field) => [
      field.name,
      draftOf(field, Object.hasOwn(conf, field.name) ? conf[field.name] : field.value),
    ]),
  );

export interface Read {
  conf: Record<string, unknown>;
  problems: Record<string, Problem>;
}

/** All drafts as the conf of a run. `extra`: keys of the conf that are no params, kept as they are. */
export function read(fields: Field[], drafts: Drafts, extra: Record<string, unknown>): Read {
  const conf: Record<string, unknown> = {};
  const problems: Record<string, Problem> = {};
  for (const field of fields) {
    const parsed = parse(field, drafts[field.name] ?? null);
    if (parsed.problem === null) conf[field.name] = parsed.value;
    else problems[field.name] = parsed.problem;
  }
  return { conf: { ...conf, ...extra }, problems };
}

/** The keys of a conf that no field shows. */
export function extraOf(fields: Field[], conf: Record<string, unknown>): Record<string, unknown> {
  const names = new Set(fields.map(({ name }) => name));
  return Object.fromEntries(Object.entries(conf).filter(([key]) => !names.has(key)));
}

/** The request as a command for a shell; the token stays a variable. */
export function curl(origin: string, path: string, body: unknown): string {
  const quoted = JSON.stringify(body).replaceAll("'", String.raw`'\''`);
  return [
    `curl -X POST '${origin}${path}'`,
    `  -H "Authorization: Bearer $UPDRAFT_TOKEN"`,
    `  -H 'Content-Type: application/json'`,
    `  -d '${quoted}'`,
  ].join(" \\\n");
}
