/**
 * Keyboard shortcuts of the page that is shown, and the list of them for the `?` sheet.
 *
 * A component registers its own with `useHotkeys` (`ui/useHotkeys.ts`). Keys: `j`, `?`, `Escape`, `ArrowDown`, `Shift+C`, `Mod+k`
 * (Ctrl, or ⌘ on a Mac), and sequences with a space: `g d`. A bare key is not a shortcut while somebody types, nor under a dialog.
 * The latest to register a key has it.
 */
export interface Hotkey {
  keys: string;
  /** What it does, for the sheet. Null: not listed (a second key for the same). */
  label: string | null;
  run: (event: KeyboardEvent) => void;
  /** Also while a dialog is open or somebody types. */
  always?: boolean;
}

export interface HotkeyGroup {
  title: string;
  hotkeys: Hotkey[];
}

const SEQUENCE_MS = 1_200;

const groups: HotkeyGroup[] = [];
const listeners = new Set<() => void>();
let snapshot: readonly HotkeyGroup[] = [];
let prefix: { key: string; at: number } | null = null;

function changed() {
  snapshot = [...groups];
  for (const listener of listeners) listener();
}

export const hotkeys = {
  add(group: HotkeyGroup) {
    groups.push(group);
    changed();
    return () => {
      groups.splice(groups.indexOf(group), 1);
      changed();
    };
  },
  /** In the order of registration; groups of one title are one to the reader. */
  all: () => snapshot,
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
};

/** `Shift+C`, `Mod+k`, `?`: letters with Shift are upper case, and Shift is only said with them. */
export function keyOf(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">): string {
  const mod = event.ctrlKey || event.metaKey ? "Mod+" : "";
  const alt = event.altKey ? "Alt+" : "";
  const named = event.key.length > 1;
  const letter = /^\p{L}$/u.test(event.key);
  const shift = event.shiftKey && (named || letter) ? "Shift+" : "";
  const key = letter ? (shift === "" ? event.key.toLowerCase() : event.key.toUpperCase()) : event.key;
  return `${mod}${alt}${shift}${key === " " ? "Space" : key}`;
}

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement &&
  (target.isContentEditable ||
    target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=switch], [type=button])"));

const isUnderDialog = () => document.querySelector('[aria-modal="true"]') !== null;

export function handleKey(event: KeyboardEvent, now = Date.now()) {
  if (event.defaultPrevented || event.isComposing) return;
  if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
  const key = keyOf(event);
  const sequence = prefix !== null && now - prefix.at < SEQUENCE_MS ? `${prefix.key} ${key}` : null;
  prefix = null;
  const busy = isTyping(event.target) || isUnderDialog();
  const usable = groups
    .toReversed()
    .flatMap((group) => group.hotkeys)
    .filter((hotkey) => hotkey.always === true || !busy);
  const found = usable.find(({ keys }) => keys === sequence) ?? usable.find(({ keys }) => keys === key);
  if (found !== undefined) {
    event.preventDefault();
    found.run(event);
  } else if (usable.some(({ keys }) => keys.startsWith(`${key} `))) {
    prefix = { key, at: now };
  }
}
