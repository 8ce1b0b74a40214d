/** The shortcuts that work on the page that is shown, from their registry. */
import { Kbd, Text } from "@mantine/core";
import { Fragment, useSyncExternalStore } from "react";

import { hotkeys } from "../../lib/hotkeys";
import { strings } from "../../lib/strings";
import { Sheet } from "../../ui/Sheet";
import classes from "./frame.module.css";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const SHOWN: Record<string, string> = {
  Mod: isMac ? "⌘" : "Ctrl",
  Escape: "Esc",
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
};

export function KeysSheet({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const groups = useSyncExternalStore(hotkeys.subscribe, hotkeys.all);
  const byTitle = new Map<string, { keys: string; label: string }[]>();
  // What belongs to the page first; what works everywhere last.
  for (const group of groups.toReversed()) {
    const list = byTitle.get(group.title) ?? [];
    for (const { keys, label } of group.hotkeys) {
      if (label !== null && !list.some((one) => one.keys === keys)) list.push({ keys, label });
    }
    byTitle.set(group.title, list);
  }
  return (
    <Sheet opened={opened} onClose={onClose} title={strings.frame.keys} width={420}>
      <Text size="sm" c="dimmed" mb="md">
        {strings.frame.keysHint}
      </Text>
      {[...byTitle].map(([title, list]) => (
        <section key={title} aria-label={title} className={classes.keys}>
          <h3>{title}</h3>
          <dl>
            {list.map(({ keys, label }) => (
              <div key={keys}>
                <dt>{label}</dt>
                <dd>
                  <Keys keys={keys} />
                </dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </Sheet>
  );
}

function Keys({ keys }: { keys: string }) {
  return keys.split(" ").map((chord, index) => (
    <Fragment key={chord + String(index)}>
      {index > 0 && <span className={classes.then}> {strings.frame.afterwards} </span>}
      {chord.split(/\+(?=.)/).map((key) => (
        <Kbd key={key} size="xs" mr={2}>
          {SHOWN[key] ?? key}
        </Kbd>
      ))}
    </Fragment>
  ));
}
