/**
 * What a person chose for this browser: the language and the time zone. Kept in localStorage, in no address.
 * Changing one makes `App` mount the pages anew, so that code may read them anywhere, at the time of rendering, without a hook.
 */
export const LANGUAGES = ["en", "zh"] as const;
export type Language = (typeof LANGUAGES)[number];

const LANGUAGE_KEY = "updraft.language";
const ZONE_KEY = "updraft.zone";

function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // A browser that keeps nothing.
  }
}

function store(key: string, value: string | null) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // It is for this page only, then.
  }
}

function initialLanguage(): Language {
  const chosen = stored(LANGUAGE_KEY) ?? navigator.language;
  return chosen.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export const browserZone = (): string => new Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function isZone(name: string): boolean {
  try {
    Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function initialZone(): string | null {
  const chosen = stored(ZONE_KEY);
  return chosen !== null && isZone(chosen) ? chosen : null;
}

let language = initialLanguage();
/** Null: the zone of the browser. */
let zone = initialZone();
let version = 0;
const listeners = new Set<() => void>();

function changed() {
  version += 1;
  for (const listener of listeners) listener();
}

export const preferences = {
  language: () => language,
  /** An IANA name, as `Intl` takes it. */
  zone: () => zone ?? browserZone(),
  /** Null: whatever zone the browser is in. */
  chosenZone: () => zone,
  setLanguage(value: Language) {
    if (value === language) return;
    language = value;
    store(LANGUAGE_KEY, value);
    changed();
  },
  setZone(value: string | null) {
    if (value === zone) return;
    zone = value;
    store(ZONE_KEY, value);
    changed();
  },
  /** Goes up with each change. */
  version: () => version,
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
};

/** The tag for `lang` attributes and `Intl`. */
export const languageTag = (of: Language = language) => (of === "zh" ? "zh-CN" : "en");
