import { expect, it } from "vitest";

import {
  check,
  curl,
  draftOf,
  draftsOf,
  extraOf,
  fieldsOf,
  parse,
  read,
  sectionsOf,
  type Draft,
  type Schema,
} from "./fields";

const field = (schema: Schema, value: unknown = null) => {
  const [found] = fieldsOf({ it: { value, schema } });
  if (found === undefined) throw new Error("no field");
  return found;
};
const problem = (schema: Schema, draft: Draft) => parse(field(schema), draft).problem?.code ?? null;
const value = (schema: Schema, draft: Draft) => {
  const parsed = parse(field(schema), draft);
  return parsed.problem === null ? parsed.value : parsed.problem;
};

it("each schema gets its control", () => {
  const kinds = (params: Record<string, unknown>) => fieldsOf(params).map(({ kind }) => kind);
  const of = (schema: Schema, inner: unknown = null) => kinds({ x: { value: inner, schema } })[0];
  expect(of({ type: "string" })).toBe("text");
  expect(of({ type: "string", format: "multiline" })).toBe("multiline");
  expect(of({ type: ["null", "string"], format: "date" })).toBe("date");
  expect(of({ type: "string", format: "date-time" })).toBe("datetime");
  expect(of({ type: "integer" })).toBe("integer");
  expect(of({ type: ["number", "null"] })).toBe("number");
  expect(of({ type: "boolean" })).toBe("boolean");
  expect(of({ enum: ["a", 1] })).toBe("choice");
  expect(of({ type: "array", examples: ["a", "b"] })).toBe("choices");
  expect(of({ type: "array", items: { type: "string" } })).toBe("lines");
  expect(of({ type: "array", items: { type: "object" } })).toBe("json");
  expect(of({ type: "object" })).toBe("json");
  expect(of({ type: ["string", "object"] })).toBe("json");
  expect(kinds({ a: 3, b: 2.5, c: "x", d: true, e: ["x"], f: [1], g: { h: 1 }, i: null })).toEqual([
    "integer",
    "number",
    "text",
    "boolean",
    "lines",
    "json",
    "json",
    "text",
  ]);
});

it("a constant is no choice", () => {
  expect(fieldsOf({ fixed: { value: 1, schema: { const: 1 } } })).toEqual([]);
});

it("numbers keep their limits", () => {
  expect(value({ type: "integer", minimum: 1, maximum: 100 }, " 42 ")).toBe(42);
  expect(problem({ type: "integer" }, "4.5")).toBe("integer");
  expect(problem({ type: "integer" }, "four")).toBe("number");
  expect(problem({ type: "number" }, "1e999")).toBe("number");
  expect(problem({ type: "integer", minimum: 1 }, "0")).toBe("min");
  expect(problem({ type: "integer", maximum: 9 }, "10")).toBe("max");
  expect(problem({ type: "number", exclusiveMinimum: 0 }, "0")).toBe("above");
  expect(problem({ type: "number", multipleOf: 0.1 }, "0.3")).toBe(null);
  expect(problem({ type: "number", multipleOf: 0.1 }, "0.35")).toBe("multiple");
});

it("texts keep their length, pattern and format", () => {
  expect(problem({ type: "string", minLength: 3 }, "ab")).toBe("minLength");
  expect(problem({ type: "string", maxLength: 2 }, "😀😀")).toBe(null);
  expect(problem({ type: "string", pattern: "^[a-z]+$" }, "Ab")).toBe("pattern");
  expect(problem({ type: "string", pattern: "(?P<python>only)" }, "x")).toBe(null);
  expect(problem({ type: "string", format: "date" }, "2026-02-30")).toBe("format");
  expect(problem({ type: "string", format: "date" }, "2028-02-29")).toBe(null);
  expect(problem({ type: "string", format: "date-time" }, "2026-02-03T04:05")).toBe("format");
  expect(problem({ type: "string", format: "date-time" }, "2026-02-03T04:05:06+02:00")).toBe(null);
  expect(problem({ type: "string", format: "time" }, "24:00:00")).toBe("format");
  expect(problem({ type: "string", format: "time" }, "10:15:00")).toBe(null);
  expect(problem({ type: "string", format: "time" }, "10:15:00Z")).toBe(null);
  expect(problem({ type: "string", format: "email" }, "li@example.com")).toBe(null);
  expect(problem({ type: "string", format: "uri" }, "nowhere")).toBe("format");
});

it("empty is null where that is allowed, an empty text where it is not, and missing elsewhere", () => {
  expect(value({ type: ["null", "string"] }, "")).toBe(null);
  expect(value({ type: "string" }, "")).toBe("");
  expect(problem({ type: "string", minLength: 1 }, "")).toBe("required");
  expect(problem({ type: "integer" }, "")).toBe("required");
  expect(value({ type: ["integer", "null"] }, "")).toBe(null);
  expect(problem({ type: "string", format: "date" }, null)).toBe("required");
  expect(value({ type: "array", items: { type: "string" } }, "")).toEqual([]);
});

it("choices are values, not their spelling", () => {
  const schema = { enum: [1, "1", null], values_display: { "1": "one" } };
  expect(field(schema).options.map(({ key }) => key)).toEqual(["1", '"1"', "null"]);
  expect(value(schema, "1")).toBe(1);
  expect(value(schema, '"1"')).toBe("1");
  expect(problem(schema, "2")).toBe("notListed");
});

it("lists are counted and may not repeat", () => {
  const schema: Schema = { type: "array", items: { type: "string" }, minItems: 2, maxItems: 3, uniqueItems: true };
  expect(value(schema, "a\n\n b \n")).toEqual(["a", "b"]);
  expect(problem(schema, "a")).toBe("minItems");
  expect(problem(schema, "a\nb\nc\nd")).toBe("maxItems");
  expect(problem(schema, "a\na")).toBe("duplicates");
});

it("JSON is parsed, and has its type and its keys", () => {
  const schema: Schema = { type: "object", required: ["host"] };
  expect(value(schema, '{"host": "a"}')).toEqual({ host: "a" });
  expect(problem(schema, "{")).toBe("json");
  expect(problem(schema, "[]")).toBe("type");
  expect(problem(schema, "{}")).toBe("missingKey");
});

it("what the form opens with is what it sends", () => {
  const params = {
    region: { value: "EMEA", schema: { type: "string", enum: ["EMEA", "APAC"] } },
    limit: { value: 100, schema: { type: "integer" } },
    when: { value: null, schema: { type: ["null", "string"], format: "date" } },
    tables: { value: ["a", "b"], schema: { type: "array", items: { type: "string" } } },
    options: { value: { deep: [1] }, schema: { type: "object" } },
    dry: { value: true, schema: { type: "boolean" } },
  };
  const fields = fieldsOf(params);
  const { conf, problems } = read(fields, draftsOf(fields, {}), {});
  expect(problems).toEqual({});
  expect(conf).toEqual({
    region: "EMEA",
    limit: 100,
    when: null,
    tables: ["a", "b"],
    options: { deep: [1] },
    dry: true,
  });
});

it("the conf of a former run goes over the DAG's values, and what is no param stays", () => {
  const fields = fieldsOf({ limit: { value: 1, schema: { type: "integer" } } });
  const conf = { limit: 7, ticket: "OPS-1" };
  expect(read(fields, draftsOf(fields, conf), extraOf(fields, conf)).conf).toEqual(conf);
});

it("a value from elsewhere is held against the schema too", () => {
  expect(check(field({ type: "integer", maximum: 5 }), 6)?.code).toBe("max");
  expect(check(field({ type: "integer" }), "6")?.code).toBe("type");
  expect(check(field({ type: "string" }), null)?.code).toBe("required");
  expect(draftOf(field({ type: "boolean" }), true)).toBe(true);
});

it("sections stand together, those without one first", () => {
  const fields = fieldsOf({
    a: { value: 1, schema: { section: "More" } },
    b: { value: 1, schema: { type: "integer" } },
    c: { value: 1, schema: { section: "More" } },
  });
  expect(sectionsOf(fields).map(({ section, fields: inside }) => [section, inside.map(({ name }) => name)])).toEqual([
    [null, ["b"]],
    ["More", ["a", "c"]],
  ]);
});

it("a quote in a value does not end the command", () => {
  expect(curl("http://x", "/run", { note: "it's" })).toContain(String.raw`-d '{"note":"it'\''s"}'`);
});
