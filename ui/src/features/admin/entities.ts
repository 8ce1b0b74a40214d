/** What an import holds, in either of the two shapes that Airflow exports. */
import { parseJson } from "../../ui/Form";

type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields =>
  value !== null && typeof value === "object" && !Array.isArray(value);
const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

/** `{"name": value}`, `{"name": {"value": …, "description": …}}` or `[{"key": …, "value": …}]`. */
export function variablesIn(text: string): Fields[] | null {
  const { value } = parseJson(text);
  if (Array.isArray(value)) {
    const all = value.filter((one) => isFields(one) && typeof one["key"] === "string");
    return all.length === value.length ? all.map((one: Fields) => ({ ...one, value: asText(one["value"]) })) : null;
  }
  if (!isFields(value)) return null;
  return Object.entries(value).map(([key, of]) =>
    isFields(of) && Object.hasOwn(of, "value")
      ? { key, value: asText(of["value"]), description: of["description"] ?? null }
      : { key, value: asText(of), description: null },
  );
}

const FIELDS = ["conn_type", "description", "host", "login", "schema", "port", "password"] as const;

/** `{"id": {…}}` or `[{"connection_id": …}]`; what is not a field is left out, and an extra may be an object. */
export function connectionsIn(text: string): Fields[] | null {
  const { value } = parseJson(text);
  const all = Array.isArray(value)
    ? value
    : isFields(value)
      ? Object.entries(value).map(([connection_id, of]) => (isFields(of) ? { ...of, connection_id } : null))
      : null;
  if (all === null || !all.every((one) => isFields(one))) return null;
  const read = (all as Fields[]).map((one) => {
    const fields: Fields = { connection_id: one["connection_id"] ?? one["conn_id"] };
    for (const name of FIELDS) if (one[name] !== undefined && one[name] !== null) fields[name] = one[name];
    if (one["extra"] !== undefined && one["extra"] !== null) fields["extra"] = asText(one["extra"]);
    return fields;
  });
  return read.every((one) => typeof one["connection_id"] === "string") ? read : null;
}
