import { useComputedColorScheme } from "@mantine/core";
import { useMemo } from "react";

import type { Family } from "../../lib/states";

export type Colours = Record<Family | "panel" | "line" | "text" | "muted" | "body", string>;

/** The tokens as values, for what cannot read custom properties: canvases, and pictures that leave the page. */
export function useColours(): Colours {
  const scheme = useComputedColorScheme("light");
  return useMemo(() => {
    // The attribute of the scheme is set by the time this is read; its name makes the values be read again.
    const style = getComputedStyle(document.documentElement);
    const of = (name: string, otherwise: string) => style.getPropertyValue(name).trim() || otherwise;
    return {
      good: of("--state-good", "#1ea69a"),
      bad: of("--state-bad", "#bb2605"),
      moving: of("--state-moving", "#2119bc"),
      retrying: of("--state-retrying", "#cc7f09"),
      human: of("--state-human", "#67014c"),
      idle: of("--state-idle", "#5d6376"),
      panel: of("--panel", scheme === "dark" ? "#171d26" : "#f6f8fa"),
      line: of("--line", scheme === "dark" ? "#2b3441" : "#d5dae1"),
      muted: of("--muted", "#555e6b"),
      text: of("--mantine-color-text", scheme === "dark" ? "#e8ecf2" : "#14181f"),
      body: of("--mantine-color-body", scheme === "dark" ? "#11161d" : "#fff"),
    };
  }, [scheme]);
}
