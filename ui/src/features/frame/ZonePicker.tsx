/** The zone in which times are shown; those of schedules stay in the DAG's own. */
import { Autocomplete, Button, Menu, Stack, UnstyledButton } from "@mantine/core";
import { useState } from "react";

import { browserZone, isZone, preferences } from "../../lib/preferences";
import { strings } from "../../lib/strings";
import { zoneLabel } from "../../lib/time";
import { useNow } from "../../ui/now";
import classes from "./frame.module.css";

/** The value of the browser's own zone, which is no zone's name. */
const OWN = "own";

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
        <Menu.RadioGroup
          value={chosen ?? OWN}
          onChange={(value) => preferences.setZone(value === OWN ? null : String(value))}
        >
          {options.map((option) => (
            <Menu.RadioItem key={option.label} value={option.zone ?? OWN}>
              {option.label}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
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
