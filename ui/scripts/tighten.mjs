// Where the document says less than the server keeps to ("a string" for one of four words), the types say it all the same. A field
// that is no longer in the document, or that it says as exactly by now, is an error: what is here must not outlive its reason.
const words = (...values) => ({ type: "string", enum: values });
const record = (values) => ({ type: "object", additionalProperties: values });
const object = (properties, optional = []) => ({
  type: "object",
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  properties,
});
const text = { type: "string" };

const role = words("viewer", "user", "op", "admin");
// A code with its parameters beside it.
const reason = { ...object({ code: text }), additionalProperties: true };
const node = {
  state: words("active", "draining", "lost", "offline"),
  labels: record(text),
  runners: { type: "array", items: object({ name: text, available: { type: "boolean" }, reason: text }, ["reason"]) },
  stats: record({ type: "number" }),
};

const TIGHTER = {
  DagListWhy: { reason: { anyOf: [reason, { type: "null" }] } },
  ExecutorResponse: node,
  ExecutorDetailsResponse: node,
  ExecutorAttemptResponse: { kind: words("task", "callback"), state: words("placed", "handed_out", "running") },
  FileFindingResponse: { severity: words("error", "warning") },
  MeResponse: { role },
  UserBody: { role },
  UserResponse: { role },
  UserChangeBody: { role: { anyOf: [role, { type: "null" }] } },
  WaitingGroup: { reason },
  WhyResponse: { reasons: { type: "array", items: reason } },
};

const isLoose = (schema) => !JSON.stringify(schema).match(/"(enum|\$ref|properties|additionalProperties)":/);

export function tighten(schemas) {
  for (const [name, fields] of Object.entries(TIGHTER)) {
    for (const [field, tighter] of Object.entries(fields)) {
      const loose = schemas[name]?.properties?.[field];
      if (loose === undefined) throw new Error(`${name}.${field} of scripts/tighten.mjs is not in the document`);
      if (!isLoose(loose))
        throw new Error(`${name}.${field} of scripts/tighten.mjs: the document itself says it by now`);
      schemas[name].properties[field] = tighter;
    }
  }
  const array = schemas.GridCell.anyOf.find(({ type }) => type === "array");
  const moment = { type: ["integer", "null"] };
  array.prefixItems = [{ type: "integer" }, { type: "integer" }, moment, moment];
}
