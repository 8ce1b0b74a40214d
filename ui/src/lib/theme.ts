/** The theme that was chosen: as the system, light, dark, or high contrast (which follows the system's light or dark). */
export const THEMES = ["auto", "light", "dark", "contrast"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "updraft.theme";

export function storedTheme(): Theme {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? "auto";
  } catch {
    return "auto";
  }
}

/** The part of it that Mantine does not know. A system that asks for more contrast gets it too. */
export function applyTheme(theme: Theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It is for this page only, then.
  }
  markContrast(theme);
}

export function markContrast(theme: Theme = storedTheme()) {
  const high = theme === "contrast" || (theme === "auto" && window.matchMedia("(prefers-contrast: more)").matches);
  if (high) document.documentElement.dataset["contrast"] = "high";
  else delete document.documentElement.dataset["contrast"];
}
