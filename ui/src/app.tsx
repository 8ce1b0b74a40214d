import "@mantine/core/styles.css";
import "./ui/global.css";

import { MantineProvider } from "@mantine/core";
import { QueryClientProvider, type QueryClient } from "@tanstack/react-query";
import { Fragment, useEffect, useSyncExternalStore, type ReactNode } from "react";

import { languageTag, preferences } from "./lib/preferences";
import { markContrast } from "./lib/theme";
import { cssVariables, theme } from "./ui/theme";

/** What every page needs around it. A change of the language or the time zone mounts all of it anew; the data stays. */
export function App({ queries, children }: { queries: QueryClient; children: ReactNode }) {
  const version = useSyncExternalStore(preferences.subscribe, preferences.version);
  const language = languageTag();
  useEffect(() => markContrast(), []);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  return (
    <MantineProvider theme={theme} cssVariablesResolver={cssVariables} defaultColorScheme="auto">
      <QueryClientProvider client={queries}>
        <Fragment key={version}>{children}</Fragment>
      </QueryClientProvider>
    </MantineProvider>
  );
}
