import { ActionIcon, Popover, Text } from "@mantine/core";

import { LOOKS } from "../../lib/states";
import { strings, type StateWord } from "../../lib/strings";
import { Icon } from "../../ui/icons";
import { StateChip } from "../../ui/StateMark";
import classes from "./keys.module.css";

const SHOWN = Object.keys(LOOKS) as StateWord[];

/** What the marks mean and which keys there are, when asked. */
export function Keys() {
  return (
    <Popover position="bottom-end" withinPortal trapFocus returnFocus transitionProps={{ duration: 0 }}>
      <Popover.Target>
        <ActionIcon
          size="sm"
          variant="subtle"
          color="gray"
          c="inherit"
          aria-label={strings.dag.legend}
          title={strings.dag.legend}
        >
          <Icon name="help" />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown>
        <div className={classes.states}>
          {SHOWN.map((state) => (
            <StateChip key={state} state={state} />
          ))}
        </div>
        <Text size="xs" c="dimmed" mt="sm" maw={320}>
          {strings.dag.gridKeys}
        </Text>
      </Popover.Dropdown>
    </Popover>
  );
}
