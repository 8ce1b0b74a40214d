import { strings } from "../lib/strings";

/** A request that did not succeed. `status` 0: no answer at all. `message` is for people. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

/** The text of an error body: `detail` is a string, an object with a `reason`, or a list of validation errors. */
export function detailText(body: unknown): string | null {
  if (typeof body === "string") return body.trim() === "" ? null : body;
  if (body === null || typeof body !== "object") return null;
  const { detail, error } = body as { detail?: unknown; error?: unknown };
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) {
    return detail
      .map((item: { loc?: unknown[]; msg?: string }) => `${(item.loc ?? []).slice(1).join(".")}: ${item.msg ?? ""}`)
      .join("; ");
  }
  if (detail !== null && typeof detail === "object") {
    const { reason, message } = detail as { reason?: string; message?: string };
    return [reason, message].filter(Boolean).join(": ") || JSON.stringify(detail);
  }
  return typeof error === "string" ? error : null;
}

/** The sentence to show for anything that was thrown. */
export const messageOf = (thrown: unknown) => (thrown instanceof Error ? thrown.message : strings.app.wrong);
