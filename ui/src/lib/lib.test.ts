import { describe, expect, it } from "vitest";

import { stripAnsi } from "./ansi";
import { live, pollInterval } from "./live";
import { reasonText } from "./reasons";
import { readEvents } from "./sse";
import { isFinished, isWaiting, LOOKS, stateWord } from "./states";
import { strings } from "./strings";
import { ago, duration, elapsed } from "./time";

const NOW = Date.parse("2026-11-22T08:00:00Z");

describe("times", () => {
  it.each([
    ["2026-11-22T07:57:00Z", "3 min ago"],
    ["2026-11-22T07:59:59.500Z", "now"],
    ["2026-11-22T15:00:00Z", "in 7 hr"],
    ["2026-11-20T08:00:00Z", "2 days ago"],
  ])("%s is %s", (at, text) => expect(ago(at, NOW)).toBe(text));

  it.each([
    [-1, "0 ms"],
    [0.25, "250 ms"],
    [4.21, "4.2 s"],
    [9.97, "10 s"],
    [59.6, "1 m 00 s"],
    [72, "1 m 12 s"],
    [7500, "2 h 05 m"],
    [277_000, "3 d 4 h"],
  ])("%d s is %s", (seconds, text) => expect(duration(seconds)).toBe(text));

  it("a running thing has lasted until now, an unstarted one has not lasted", () => {
    const running = { duration: null, start_date: "2026-11-22T07:59:00Z", end_date: null };
    expect(elapsed(running, NOW)).toBe(60);
    expect(elapsed({ ...running, start_date: null }, NOW)).toBeNull();
  });
});

describe("states", () => {
  it("no two look the same without colour", () => {
    const looks = Object.values(LOOKS).map(({ fill, glyph }) => `${fill} ${glyph}`);
    expect(new Set(looks).size).toBe(looks.length);
  });

  it("a state of a newer server is shown as none and polled for", () => {
    expect(stateWord("levitating")).toBe("none");
    expect(stateWord("toString")).toBe("none");
    expect(isFinished("levitating")).toBe(false);
  });

  it("waiting is neither finished nor running", () => {
    const waiting = Object.keys(LOOKS).filter((state) => isWaiting(state));
    expect(waiting.toSorted()).toEqual(
      ["awaiting_input", "deferred", "none", "queued", "scheduled", "up_for_reschedule", "up_for_retry"].toSorted(),
    );
  });
});

it("asks more often while something changes, and not at all while it is told", () => {
  expect(Number(pollInterval(true))).toBeLessThan(Number(pollInterval(false)));
  live.set("told");
  expect(pollInterval(true)).toBe(false);
  live.set("polled");
});

it("reads server-sent events whatever the pieces they come in", async () => {
  const text = "retry: 5\n\nevent: dag\ndata: {\ndata: }\nid: 7\n\n: still here\r\nid: 8\r\n\r\ndata:é\n\ndata: cut";
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += 3) controller.enqueue(bytes.slice(at, at + 3));
      controller.close();
    },
  });
  const events = [];
  for await (const event of readEvents(body)) events.push(event);
  expect(events).toEqual([
    { name: "dag", data: "{\n}", id: "7" },
    { name: "message", data: "é", id: "8" },
  ]);
});

it("removes what only terminals understand", () => {
  expect(stripAnsi("\u001b[1;31mred\u001b[0m \u001b]8;;http://x\u0007link\u001b]8;;\u0007 [0]")).toBe("red link [0]");
});

it("says a reason in a sentence", () => {
  const reason = { code: "pool_full", pool: "db", used: 5, slots: 5, needs: 1 };
  expect(reasonText(reason)).toBe("The pool db is full: 5 of 5 slots are taken and it needs 1.");
  expect(reasonText({ code: "upstream_not_done", trigger_rule: "all_success", waiting_for: ["a", "b"] })).toBe(
    "Waits for a, b.",
  );
  expect(reasonText({ code: "retry_delay", until: null, try_number: 1, max_tries: 2 })).toBe(
    "Will be retried: try 1 of 3 failed.",
  );
  expect(reasonText({ code: "nodes_full", nodes: ["n1", "n2"], slots: 8 })).toContain("n1, n2");
  expect(reasonText({ code: "nodes_away", nodes: [{ name: "n1", state: "draining" }] })).toBe(
    "Every node that could run it is away: n1 is draining.",
  );
  expect(reasonText({ code: "no_node_for_queue", queue: "sap", live_nodes: 2 })).toBe(
    "None of the 2 connected nodes serves the queue sap.",
  );
  expect(
    reasonText({ code: "no_node_with_labels", queue: "default", labels: { gpu: ["true"], site: ["a", "b"] } }),
  ).toBe("No node of the queue default has the label gpu: true, site: a or b.");
});

it("spells out a reason that it has no sentence for", () => {
  expect(reasonText({ code: "tide", message: "The tide is out." })).toBe("The tide is out.");
  expect(reasonText({ code: "moon_phase", phase: "full" })).toBe("moon phase (phase: full)");
  expect(Object.keys(strings.reasons)).not.toContain("moon_phase");
});
