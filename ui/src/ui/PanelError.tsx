/** A part of a page that could not be had; the rest of the page goes on. `parts/Panel.tsx` shows it by itself. */
import { Button, Text } from "@mantine/core";

import { strings } from "../lib/strings";
import { Icon } from "./icons";
import classes from "./states.module.css";

export function PanelError({ message, onRetry }: { message: string; onRetry?: () => void }) {
  return (
    <div className={classes.error} role="alert">
      <Icon name="warning" />
      <Text size="sm" style={{ overflowWrap: "anywhere" }}>
        {message}
      </Text>
      {onRetry !== undefined && (
        <Button size="compact-sm" variant="default" onClick={onRetry}>
          {strings.app.retry}
        </Button>
      )}
    </div>
  );
}
