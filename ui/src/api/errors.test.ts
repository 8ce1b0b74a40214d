import { expect, it } from "vitest";

import { detailText } from "./errors";

it.each([
  [{ detail: "Not authenticated" }, "Not authenticated"],
  [{ detail: [{ loc: ["body", "conf"], msg: "Field required", type: "missing" }] }, "conf: Field required"],
  [{ detail: { reason: "Unique constraint violation", message: "ID 1f" } }, "Unique constraint violation: ID 1f"],
  [{ error: "API route not found" }, "API route not found"],
  ["", null],
  [undefined, null],
])("reads the text of %j", (body, text) => expect(detailText(body)).toBe(text));
