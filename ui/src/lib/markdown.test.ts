import { expect, it } from "vitest";

import { inline, markdown } from "./markdown";

it("reads the blocks that docs are made of", () => {
  const source = [
    "# Orders",
    "",
    "Loads **orders** into",
    "the `warehouse`.",
    "- one",
    "- two",
    "  goes on",
    "",
    "1. first",
    "",
    "```sql",
    "select 1",
    "```",
    "> quoted",
    "",
    "| a | b |",
    "|---|---|",
    "| 1 | 2 |",
    "---",
  ].join("\n");
  expect(markdown(source).map(({ kind }) => kind)).toEqual([
    "heading",
    "paragraph",
    "list",
    "list",
    "code",
    "quote",
    "table",
    "rule",
  ]);
  expect(markdown(source)[2]).toMatchObject({ ordered: false, items: [[{ text: "one" }], [{ text: "two goes on" }]] });
});

it("leads only where a link may lead, and passes no HTML", () => {
  expect(inline("[x](javascript:alert(1))")[0]).toEqual({ kind: "text", text: "x" });
  expect(inline("[x](https://example.com/a_b_c)")[0]).toMatchObject({ kind: "link", to: "https://example.com/a_b_c" });
  expect(inline("<b>no</b>")).toEqual([{ kind: "text", text: "<b>no</b>" }]);
  expect(inline("see https://example.com.")).toMatchObject([{ text: "see " }, { kind: "link" }]);
});

it("keeps names with underscores whole", () => {
  expect(inline("load_orders_daily and *this*")).toMatchObject([
    { text: "load_orders_daily and " },
    { kind: "emphasis" },
  ]);
});

it("ends, whatever it is given", () => {
  for (const text of ["*", "**", "`", "[", "|", "| a |", "# ", ">", "-", "```", "\n\n"]) markdown(text);
});
