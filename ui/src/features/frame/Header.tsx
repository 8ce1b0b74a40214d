/** The bar above every page: where we are, whether it is live, search, time zone, what happened, and who is signed in. */
import { Tooltip, UnstyledButton } from "@mantine/core";
import { useSyncExternalStore } from "react";

import { live } from "../../lib/live";
import { strings } from "../../lib/strings";
import { Icon } from "../../ui/icons";
import { IconButton } from "../../ui/Reason";
import { setCrumbsSlot } from "../../ui/slot";
import classes from "./frame.module.css";
import { News } from "./News";
import { Settings } from "./Settings";
import { ZonePicker } from "./ZonePicker";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

export function Header({ onSearch, onKeys }: { onSearch: () => void; onKeys: () => void }) {
  const words = strings.frame;
  return (
    <header className={classes.header}>
      <div ref={setCrumbsSlot} className={classes.crumbs} />
      <LiveDot />
      <UnstyledButton
        className={classes.search}
        onClick={onSearch}
        aria-label={words.openPalette}
        aria-keyshortcuts="Control+K"
      >
        <Icon name="search" size={14} />
        <span>{words.palette}</span>
        <kbd aria-hidden="true">{isMac ? "⌘K" : "Ctrl K"}</kbd>
      </UnstyledButton>
      <ZonePicker />
      <News />
      <span className={classes.wideOnly}>
        <IconButton icon="keyboard" label={words.keys} onClick={onKeys} />
      </span>
      <Settings />
    </header>
  );
}

function LiveDot() {
  const connection = useSyncExternalStore(live.subscribe, live.connection);
  const words = strings.frame;
  const text = { told: words.told, polled: words.polled, away: words.away }[connection];
  return (
    <Tooltip label={text} events={{ hover: true, focus: true, touch: true }}>
      <span className={classes.live} data-connection={connection} role="img" aria-label={text} />
    </Tooltip>
  );
}
