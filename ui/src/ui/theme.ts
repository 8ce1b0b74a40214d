import { createTheme, type CSSVariablesResolver } from "@mantine/core";

/** Tokens: neutrals and type of the dashboard; the colours of states are in `state.module.css`. */
export const theme = createTheme({
  fontFamily: 'system-ui, "Segoe UI", Roboto, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Noto Sans Mono CJK SC", monospace',
  fontSizes: { xs: "12px", sm: "14px", md: "14px" },
  defaultRadius: 6,
  cursorType: "pointer",
  // Mantine's dark greys, in our hue.
  colors: {
    dark: [
      "#e8ecf2",
      "#c9d1db",
      "#a3adba",
      "#7d8794",
      "#3a4553",
      "#2b3441",
      "#1e2631",
      "#171d26",
      "#11161d",
      "#0c1015",
    ],
  },
  primaryColor: "indigo",
  primaryShade: { light: 8, dark: 8 },
  respectReducedMotion: true,
  components: { Button: { styles: { label: { fontWeight: 500 } } } },
});

export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#fff",
    "--mantine-color-text": "#14181f",
    "--mantine-color-anchor": "#2119bc",
    "--mantine-color-dimmed": "#555e6b",
    "--mantine-color-error": "#bb2605",
    "--panel": "#f6f8fa",
    "--line": "#d5dae1",
    "--muted": "#555e6b",
  },
  dark: {
    "--mantine-color-body": "#11161d",
    "--mantine-color-text": "#e8ecf2",
    "--mantine-color-anchor": "#8fa3ff",
    "--mantine-color-dimmed": "#a3adba",
    "--mantine-color-error": "#ff8a5c",
    "--panel": "#171d26",
    "--line": "#2b3441",
    "--muted": "#a3adba",
  },
});
