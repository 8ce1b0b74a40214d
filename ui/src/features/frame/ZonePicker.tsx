/** The zone in which times are shown; those of schedules stay in the DAG's own. */
import { Autocomplete, Button, Menu, Stack, UnstyledButton } from "@mantine/core";
import { useState } from "react";

import { browserZone, isZone, preferences } from "../../lib/preferences";
import { strings } from "../../lib/strings";
import { zoneLabel } from "../../lib/time";
import { useNow } from "../../ui/now";
import { Icon } from "../../ui/icons";
import classes from "./frame.module.css";

export function ZonePicker() {
  const words = strings.frame;
  const chosen = preferences.chosenZone();
  const zone = preferences.zone();
  const own = browserZone();
  // It changes with the seasons.
  const label = useNow((now) => zoneLabel(now, zone));
  const options: { zone: string | null; label: string }[] = [
    { zone: null, label: words.zoneBrowser(own) },
    { zone: "UTC", label: "UTC" },
    ...(chosen === null || chosen === "UTC" ? [] : [{ zone: chosen, label: chosen }]),
  ];
  return (
    <Menu position="bottom-end" transitionProps={{ duration: 0 }} width={280} withinPortal trapFocus={false}>
      <Menu.Target>
        <UnstyledButton className={classes.zone} aria-label={words.zoneOf(zone)} title={words.zoneOf(zone)}>
          {label}
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{words.zone}</Menu.Label>
        {options.map((option) => (
          <Menu.Item
            key={option.label}
            role="menuitemradio"
            aria-checked={option.zone === chosen}
            leftSection={
              <span style={{ visibility: option.zone === chosen ? "visible" : "hidden" }}>
                <Icon name="check" size={14} />
              </span>
            }
            onClick={() => preferences.setZone(option.zone)}
          >
            {option.label}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Other />
      </Menu.Dropdown>
    </Menu>
  );
}

function Other() {
  const words = strings.frame;
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState(false);
  const use = (zone: string) => {
    if (isZone(zone)) preferences.setZone(zone);
    else setWrong(true);
  };
  return (
    <Stack gap={8} p={8} onKeyDown={(event) => event.stopPropagation()}>
      <Autocomplete
        label={words.zoneOther}
        placeholder="Asia/Shanghai"
        size="xs"
        data={Intl.supportedValuesOf("timeZone")}
        limit={50}
        value={text}
        error={wrong ? words.zoneUnknown : null}
        comboboxProps={{ withinPortal: false }}
        onChange={(value) => {
          setText(value);
          setWrong(false);
        }}
        onOptionSubmit={use}
      />
      <Button size="compact-sm" variant="default" onClick={() => use(text.trim())}>
        {words.zoneSet}
      </Button>
    </Stack>
  );
}
