import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { fuzzy } from "./fuzzy";
import { handleKey, hotkeys, keyOf } from "./hotkeys";

const run = vi.fn();
let remove: (() => void)[] = [];

beforeEach(() => {
  run.mockReset();
  const hotkey = (keys: string, always = false) => ({ keys, label: keys, always, run: () => run(keys) });
  remove = [
    hotkeys.add({ title: "old", hotkeys: [hotkey("n"), hotkey("g d"), hotkey("Mod+k", true), hotkey("?")] }),
    hotkeys.add({ title: "new", hotkeys: [{ keys: "n", label: null, run: () => run("newer n") }] }),
  ];
});

afterEach(() => {
  for (const one of remove) one();
  document.body.innerHTML = "";
});

function press(key: string, init: KeyboardEventInit = {}, target: Element = document.body, at = 0) {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init });
  Object.defineProperty(event, "target", { value: target });
  handleKey(event, at);
  return run.mock.lastCall?.[0] as string | undefined;
}

it("the latest to register a key has it", () => expect(press("n")).toBe("newer n"));

it("keys in a row are one shortcut, if they come soon", () => {
  press("g");
  expect(press("d", {}, document.body, 500)).toBe("g d");
  run.mockReset();
  press("g", {}, document.body, 1_000);
  expect(press("d", {}, document.body, 5_000)).toBeUndefined();
});

it("nothing happens while somebody types, but for what always works", () => {
  document.body.innerHTML = "<input>";
  const input = document.body.firstElementChild ?? document.body;
  expect(press("n", {}, input)).toBeUndefined();
  expect(press("k", { ctrlKey: true }, input)).toBe("Mod+k");
});

it("nothing happens under a dialog", () => {
  document.body.innerHTML = '<div aria-modal="true"></div>';
  expect(press("n")).toBeUndefined();
});

it("a letter with Shift is a capital, a sign is itself", () => {
  const of = (key: string, shiftKey = false) => keyOf({ key, shiftKey, ctrlKey: false, metaKey: false, altKey: false });
  expect([of("?", true), of("C", true), of("ArrowUp", true), of("c"), of(" ")]).toEqual([
    "?",
    "Shift+C",
    "Shift+ArrowUp",
    "c",
    "Space",
  ]);
});

it("finds what is meant by some of its letters", () => {
  const names = ["payments_sync", "sync_payroll", "import errors", "api"];
  const best = (query: string) =>
    names
      .map((name) => ({ name, score: fuzzy(query, name) }))
      .filter(({ score }) => score !== null)
      .toSorted((a, b) => (b.score ?? 0) - (a.score ?? 0))[0]?.name;
  expect(best("ps")).toBe("payments_sync");
  expect(best("ie")).toBe("import errors");
  expect(best("payr")).toBe("sync_payroll");
  expect(best("xyz")).toBeUndefined();
});
