/** Nothing to show: one sentence, and at most one thing to do about it (`children`). */
import { Text } from "@mantine/core";
import type { ReactNode } from "react";

import classes from "./states.module.css";

export function EmptyState({ text, children }: { text: string; children?: ReactNode }) {
  return (
    <div className={classes.empty}>
      <Text c="dimmed">{text}</Text>
      {children}
    </div>
  );
}
