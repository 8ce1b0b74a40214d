import { describe, expect, it } from "vitest";

import { isFiltered, moreCount, parametersOf, wishOf } from "./wish";

const wish = (search: string) => wishOf(new URLSearchParams(search));

describe("which runs the address asks for", () => {
  it("is all of them, newest first, when it says nothing", () => {
    expect(isFiltered(wish(""))).toBe(false);
    expect(parametersOf(wish(""), "UTC")).toEqual({ order_by: ["-run_after"] });
  });

  it("ignores what it does not know", () => {
    const odd = wish("state=odd&type=odd&from=yesterday&to=2026-13&version=two&order_by=password");
    expect(isFiltered(odd)).toBe(false);
    expect(parametersOf(odd, "UTC")).toEqual({ order_by: ["-run_after"] });
  });

  it("means whole days of the reader's zone", () => {
    expect(parametersOf(wish("from=2026-11-21&to=2026-11-21"), "Asia/Shanghai")).toMatchObject({
      run_after_gte: "2026-11-20T16:00:00.000Z",
      run_after_lt: "2026-11-21T16:00:00.000Z",
    });
  });

  it("includes the last minute of an hour", () => {
    expect(parametersOf(wish("from=2026-11-21T16:00&to=2026-11-21T16:59"), "UTC")).toMatchObject({
      run_after_gte: "2026-11-21T16:00:00.000Z",
      run_after_lt: "2026-11-21T17:00:00.000Z",
    });
  });

  it("passes the rest on", () => {
    const all = wish("state=failed&type=manual&q=man&user=li&version=3&note=1&order_by=-duration");
    expect(moreCount(all)).toBe(3);
    expect(parametersOf(all, "UTC")).toEqual({
      order_by: ["-duration"],
      state: ["failed"],
      run_type: ["manual"],
      run_id_pattern: "man",
      triggering_user_name_pattern: "li",
      dag_version: [3],
    });
  });
});
