import { describe, expect, it } from "vitest";

import { marked, spans } from "./ansi";
import { levelOf } from "./levels";
import { parseLines, type LogLine } from "./lines";
import { LogPages, PAGE, type ReadBytes } from "./pages";
import { finder, scan, type Query } from "./scan";
import { findFailure, place, sentenceOf } from "./traceback";

const encoder = new TextEncoder();
const json = (event: string, level = "info", logger = "task.stdout") =>
  `${JSON.stringify({ timestamp: "2026-11-22T08:00:02.5Z", level, event, logger })}\n`;
const lines = (text: string, level = "error"): LogLine[] =>
  parseLines(
    encoder.encode(
      text
        .split("\n")
        .map((line) => json(line, level, "task.stderr"))
        .join(""),
    ),
    0,
    true,
  );

describe("the level of a line", () => {
  it.each([
    ["info", "[2026-11-22T08:00:02.123+0000] {taskinstance.py:1157} WARNING - low on disk", "warning"],
    ["info", "2026-11-22 08:00:02,123 ERROR [main] com.acme.Job: no", "error"],
    ["error", "INFO:root:written to stderr", "info"],
    ["error", "plain words on stderr", "error"],
    ["info", "an ERROR in the middle of prose", "info"],
    ["info", "\u001b[33mWARN\u001b[0m  deprecated", "warning"],
    ["info", "time=1 level=error msg=no", "error"],
    ["info", "[debug] x", "debug"],
    ["critical", "", "error"],
    [null, "hello", "info"],
    ["info", "Information about the house", "info"],
  ])("%s, %s", (given, event, level) => expect(levelOf(given, event)).toBe(level));
});

describe("the failure that a log ends with", () => {
  const PYTHON = `starting
Traceback (most recent call last):
  File "/opt/dags/payments.py", line 40, in main
    post(entries)
    ~~~~^^^^^^^^^
  File "/opt/dags/payments.py", line 22, in post
    return session.post(url, json=entries)
  File "/usr/local/lib/python3.12/site-packages/requests/sessions.py", line 637, in post
    return self.request("POST", url)
requests.exceptions.ConnectionError: POST https://ledger.internal/v1/entries → 503
upstream connect error
Process exited with code 1`;

  it("is the exception, with its own frames apart from those of libraries", () => {
    const failure = findFailure(lines(PYTHON));
    expect(failure).toMatchObject({
      kind: "requests.exceptions.ConnectionError",
      message: "POST https://ledger.internal/v1/entries → 503\nupstream connect error",
      index: 9,
      begins: 1,
    });
    expect(failure?.frames.map((frame) => frame.own)).toEqual([true, true, false]);
    expect(failure?.culprit && place(failure.culprit)).toBe("payments.py:22");
    expect(failure?.culprit?.code).toBe("return session.post(url, json=entries)");
  });

  it("names what it was thrown because of", () => {
    const chained = `Traceback (most recent call last):
  File "/app/a.py", line 1, in a
    x["k"]
KeyError: 'k'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/a.py", line 3, in a
    raise ValueError("no key")
ValueError: no key`;
    const failure = findFailure(lines(chained));
    expect(failure && sentenceOf(failure)).toBe("ValueError: no key");
    expect(failure?.causes).toEqual(["KeyError: 'k'"]);
  });

  it("of Java and JavaScript is above its stack", () => {
    const java = `Exception in thread "main" java.lang.IllegalStateException: no licence
\tat java.base/java.util.Optional.get(Optional.java:143)
\tat com.acme.Job.run(Job.java:12)
Caused by: java.io.IOException: closed
\tat com.acme.Net.read(Net.java:7)
\t... 3 more`;
    const failure = findFailure(lines(java));
    expect(failure).toMatchObject({
      kind: "java.lang.IllegalStateException",
      index: 0,
      causes: ["java.io.IOException: closed"],
    });
    expect(failure?.culprit && place(failure.culprit)).toBe("Job.java:12");
    const node = `file:///app/a.mjs:1
TypeError: x is not a function
    at run (file:///app/a.mjs:3:9)
    at node:internal/modules/run:1:1`;
    expect(findFailure(lines(node))).toMatchObject({ kind: "TypeError", index: 1, culprit: { line: 3, name: "run" } });
  });

  it("is the last error line otherwise, the process' rather than the node's", () => {
    const two = [...lines("sh: 1: nope: not found"), ...lines("fine", "info")];
    two.push({ offset: 9, at: null, level: "error", logger: "executor", event: "Command exited with 127" });
    expect(findFailure(two)).toMatchObject({ kind: null, message: "sh: 1: nope: not found", index: 0 });
    expect(findFailure(lines("all well", "info"))).toBeNull();
  });
});

describe("colours of a terminal", () => {
  it("become classes, and what they cannot show is left out", () => {
    expect(spans("\u001b[1;31mred\u001b[0m \u001b[2Kplain \u001b[38;5;208mo\u001b[0m")).toEqual([
      { text: "red", className: "ansi-red ansi-bold", color: null },
      { text: " plain ", className: "", color: null },
      { text: "o", className: "", color: "255, 135, 0" },
    ]);
    expect(spans("10 %\r20 %\r100 %\r")[0]?.text).toBe("100 %");
  });

  it("do not hide what is searched for", () => {
    const cut = marked(spans("a\u001b[31mbc\u001b[0md bc"), /bc?d?/g);
    expect(cut.map(({ text, hit }) => [text, hit])).toEqual([
      ["a", false],
      ["bc", true],
      ["d", true],
      [" ", false],
      ["bc", true],
    ]);
  });
});

/** A log behind ranges, which may grow. */
function served(text: string) {
  const state = { bytes: encoder.encode(text), reads: [] as number[] };
  const read: ReadBytes = async (from, to) => {
    const total = state.bytes.length;
    const begin = from === null ? Math.max(0, total - to) : Math.min(from, total);
    const bytes = state.bytes.slice(begin, from === null ? total : Math.min(to, total));
    state.reads.push(bytes.length);
    return { bytes, from: begin, total };
  };
  const write = (more: string) => {
    state.bytes = encoder.encode(new TextDecoder().decode(state.bytes) + more);
  };
  return { state, read, write };
}

const long = (count: number) => Array.from({ length: count }, (_, n) => json(`line ${n} ü`)).join("");

describe("a log in pages", () => {
  it("opens at its end with one small question", async () => {
    const { read, state } = served(long(20_000));
    const log = new LogPages(read);
    await log.open("end");
    expect(state.reads).toEqual([expect.any(Number)]);
    expect(state.reads[0]).toBeLessThan(100_000);
    const { lines: tail, page } = log.tail();
    expect(tail.at(-1)?.event).toBe("line 19999 ü");
    expect(log.firstOf(page)).toBeNull();
    expect(log.lines).toBeNull();
  });

  it("has every line once, however its pages are read", async () => {
    const { read } = served(long(3_000));
    const log = new LogPages(read);
    await log.open("end");
    for (const page of [3, 0, 5, 1, 2, 4]) await log.need(page, page);
    await log.need(0, log.count);
    const events = [...log.here()].map((line) => line.event);
    expect(events).toEqual(Array.from({ length: 3_000 }, (_, n) => `line ${n} ü`));
    expect(log.lines).toBe(3_000);
    expect(log.isWhole).toBe(true);
    const at = log.pageOfLine(1_234) ?? -1;
    expect(log.page(at)?.[1_234 - (log.firstOf(at) ?? 0)]?.event).toBe("line 1234 ü");
    const line = log.page(at)?.[0];
    expect(line && log.find(line.offset)).toEqual({ page: at, index: 0 });
  });

  it("grows by what is new, also in the middle of a line and over the edge of a page", async () => {
    const server = served(long(150));
    const log = new LogPages(server.read);
    await log.open("end");
    const half = json("a line in two pieces");
    server.write(half.slice(0, 20));
    expect(await log.more()).toBe(true);
    expect([...log.here()]).toHaveLength(150);
    server.write(half.slice(20) + long(1_000));
    await log.more();
    expect(await log.more()).toBe(false);
    expect([...log.here()]).toHaveLength(1_151);
    expect([...log.here()][150]?.event).toBe("a line in two pieces");
    expect(log.lines).toBe(1_151);
    server.write("cut off");
    await log.more();
    log.end();
    expect([...log.here()].at(-1)?.event).toBe("cut off");
  });

  it("reads a line that is longer than its pages", async () => {
    const { read } = served(json("before") + json("x".repeat(4 * PAGE)) + json("after"));
    const log = new LogPages(read);
    await log.open("start");
    await log.need(0, log.count);
    await log.need(0, log.count);
    expect([...log.here()].map((line) => line.event.length)).toEqual([6, 4 * PAGE, 5]);
  });

  it("is empty until something is written", async () => {
    const server = served("");
    const log = new LogPages(server.read);
    await log.open("end");
    expect(log.opened).toBe(true);
    server.write(json("first"));
    await log.more();
    expect([...log.here()].map((line) => line.event)).toEqual(["first"]);
  });
});

describe("a search through a whole log", () => {
  const query = (over: Partial<Query>): Query => ({
    text: "",
    isRegex: false,
    isCaseSensitive: false,
    levels: [],
    ...over,
  });
  const found = async (text: string, of: Query) => {
    const result = { numbers: [] as number[], counts: [] as number[], lines: 0 };
    for await (const { matches, counts, lines: n } of scan(served(text).read, of, null)) {
      result.numbers.push(...matches.map((match) => match.number));
      result.counts.push(...counts);
      result.lines = n;
    }
    return result;
  };

  it("finds words, patterns and levels, and counts the lines of each page", async () => {
    const text = long(9_000) + json('He said "No"\tERROR') + json("ERROR: broke") + json("x\u001b[31my\u001b[0mz");
    expect((await found(text, query({ text: 'said "no"' }))).numbers).toEqual([9_000]);
    expect((await found(text, query({ text: "^line 89\\d9 ", isRegex: true }))).numbers).toHaveLength(10);
    expect((await found(text, query({ levels: ["error"] }))).numbers).toEqual([9_001]);
    expect((await found(text, query({ text: "xyz" }))).numbers).toEqual([9_002]);
    const { counts, lines: n } = await found(text, query({ text: "line 5 " }));
    expect(n).toBe(9_003);
    const log = new LogPages(served(text).read);
    await log.open("end");
    log.setCounts(0, counts);
    expect(log.lines).toBe(9_003);
    const last = log.tail();
    expect(last.lines).toHaveLength(9_003 - (log.firstOf(last.page) ?? 0));
  });

  it("takes a pattern that is none by the letter", () => {
    expect(finder(query({ text: "a(b", isRegex: true }))?.test("xa(b")).toBe(true);
    expect(finder(query({}))).toBeNull();
  });
});
