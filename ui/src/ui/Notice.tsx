import { Alert } from "@mantine/core";
import type { ReactNode } from "react";

/** What an action led to. Errors interrupt a screen reader, the rest waits its turn. */
export function Notice({ error = false, children }: { error?: boolean; children: ReactNode }) {
  return (
    <Alert
      role={error ? "alert" : "status"}
      color={error ? "red" : "gray"}
      variant="outline"
      py={6}
      mb="sm"
      styles={{ message: { color: "var(--mantine-color-text)" } }}
    >
      {children}
    </Alert>
  );
}
