import { ActionIcon, Button, Checkbox, Menu, TextInput, Tooltip } from "@mantine/core";
import { useState, type ReactNode, type Ref } from "react";

import { LEVELS, type Level } from "../../lib/log/levels";
import type { Query } from "../../lib/log/scan";
import { strings } from "../../lib/strings";
import { Icon } from "../../ui/icons";
import { IconButton } from "../../ui/Reason";
import classes from "./log.module.css";
import { changeLogSettings, TIME_MODES, useLogSettings } from "./settings";

export interface LogQuery extends Query {
  /** Lines that do not match are hidden. */
  only: boolean;
}

interface Props {
  searchRef: Ref<HTMLInputElement>;
  query: LogQuery;
  onQuery: (change: Partial<LogQuery>) => void;
  /** Which match is shown, of how many; in words. */
  hits: string | null;
  onStep: (by: 1 | -1) => void;
  onErrorStep: (by: 1 | -1) => void;
  /** Why there is no error to go to. */
  noErrors: string | null;
  status: ReactNode;
  download: { address: string; name: string; size: string };
  isFullscreen: boolean;
  onFullscreen: () => void;
  onTop: () => void;
  onBottom: () => void;
}

/** What is shown of the log. Airflow's keys do the same: / w t s f d. */
export function Toolbar({
  searchRef,
  query,
  onQuery: onChange,
  hits,
  onStep,
  onErrorStep,
  noErrors,
  status,
  ...rest
}: Props) {
  const settings = useLogSettings();
  // The address comes after the keys: no letter is lost meanwhile.
  const [typed, setTyped] = useState<string | null>(null);
  const text = typed ?? query.text;
  const onQuery = (change: Partial<LogQuery>) => onChange({ text, ...change });
  const type = (next: string) => {
    setTyped(next);
    onQuery({ text: next });
  };
  return (
    <div className={classes.toolbar} role="toolbar" aria-label={strings.logs.toolbar}>
      <TextInput
        ref={searchRef}
        className={classes.search}
        size="xs"
        type="search"
        aria-label={strings.logs.search}
        placeholder={strings.logs.searchHint}
        leftSection={<Icon name="search" size={14} />}
        value={text}
        onChange={(event) => type(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") onStep(event.shiftKey ? -1 : 1);
          if (event.key === "Escape") type("");
        }}
        rightSectionWidth={54}
        rightSection={
          <>
            <Toggle
              on={query.isCaseSensitive}
              label={strings.logs.matchCase}
              onChange={(isCaseSensitive) => onQuery({ isCaseSensitive })}
              text="Aa"
            />
            <Toggle
              on={query.isRegex}
              label={strings.logs.regex}
              onChange={(isRegex) => onQuery({ isRegex })}
              text=".*"
            />
          </>
        }
      />
      {query.text !== "" && (
        <>
          <span className={classes.hits} role="status">
            {hits}
          </span>
          <IconButton size="sm" icon="up" label={strings.logs.previousHit} onClick={() => onStep(-1)} />
          <IconButton size="sm" icon="down" label={strings.logs.nextHit} onClick={() => onStep(1)} />
          <Checkbox
            size="xs"
            label={strings.logs.only}
            checked={query.only}
            onChange={(event) => onQuery({ only: event.currentTarget.checked })}
          />
        </>
      )}
      <Levels levels={query.levels} onChange={(levels) => onQuery({ levels })} />
      <Button.Group>
        <StepButton icon="up" label={strings.logs.previousError} reason={noErrors} onClick={() => onErrorStep(-1)} />
        <StepButton icon="down" label={strings.logs.nextError} reason={noErrors} onClick={() => onErrorStep(1)} />
      </Button.Group>
      <span className={classes.spring} />
      <span className={classes.status}>{status}</span>
      <Button
        size="compact-xs"
        variant={settings.wrap ? "light" : "default"}
        aria-pressed={settings.wrap}
        onClick={() => changeLogSettings({ wrap: !settings.wrap })}
      >
        {strings.logs.wrap}
      </Button>
      <Menu position="bottom-end" transitionProps={{ duration: 0 }} closeOnItemClick={false} withinPortal={false}>
        <Menu.Target>
          <Button size="compact-xs" variant="default" rightSection={<Icon name="down" size={12} />}>
            {strings.logs.more}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>{strings.logs.time}</Menu.Label>
          {TIME_MODES.map((mode) => (
            <Menu.Item
              key={mode}
              role="menuitemradio"
              aria-checked={settings.time === mode}
              leftSection={<Tick on={settings.time === mode} />}
              onClick={() => changeLogSettings({ time: mode })}
            >
              {strings.logs.times[mode]}
            </Menu.Item>
          ))}
          <Menu.Divider />
          <Menu.Item
            role="menuitemcheckbox"
            aria-checked={settings.source}
            leftSection={<Tick on={settings.source} />}
            onClick={() => changeLogSettings({ source: !settings.source })}
          >
            {strings.logs.source}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <IconButton size="sm" visibleFrom="xs" icon="up" label={strings.logs.top} onClick={rest.onTop} />
      <IconButton size="sm" visibleFrom="xs" icon="down" label={strings.logs.bottom} onClick={rest.onBottom} />
      <Tooltip label={strings.logs.downloadOf(rest.download.size)}>
        <ActionIcon
          component="a"
          href={rest.download.address}
          download={rest.download.name}
          size="sm"
          variant="subtle"
          color="gray"
          c="inherit"
          aria-label={strings.logs.downloadOf(rest.download.size)}
        >
          <Icon name="download" />
        </ActionIcon>
      </Tooltip>
      <Button
        size="compact-xs"
        variant="default"
        visibleFrom="sm"
        aria-pressed={rest.isFullscreen}
        onClick={rest.onFullscreen}
      >
        {rest.isFullscreen ? strings.logs.leaveFullscreen : strings.logs.fullscreen}
      </Button>
    </div>
  );
}

const Tick = ({ on }: { on: boolean }) => (
  <span style={{ visibility: on ? "visible" : "hidden", display: "inline-flex" }}>
    <Icon name="check" size={14} />
  </span>
);

function Toggle({
  on,
  label,
  text,
  onChange,
}: {
  on: boolean;
  label: string;
  text: string;
  onChange: (on: boolean) => void;
}) {
  return (
    <Tooltip label={label} openDelay={400}>
      <ActionIcon
        size={22}
        variant={on ? "light" : "subtle"}
        color={on ? "indigo" : "gray"}
        c={on ? undefined : "dimmed"}
        aria-label={label}
        aria-pressed={on}
        onClick={() => onChange(!on)}
      >
        <span style={{ fontSize: 11, fontWeight: 600 }} aria-hidden="true">
          {text}
        </span>
      </ActionIcon>
    </Tooltip>
  );
}

function StepButton({
  icon,
  label,
  reason,
  onClick,
}: {
  icon: "up" | "down";
  label: string;
  reason: string | null;
  onClick: () => void;
}) {
  return (
    <Tooltip label={reason ?? label}>
      <Button
        size="compact-xs"
        variant="default"
        aria-label={label}
        {...(reason === null ? {} : { "data-disabled": true, "aria-disabled": true })}
        onClick={reason === null ? onClick : undefined}
        px={6}
      >
        <span className={classes.errorMark} aria-hidden="true" />
        <Icon name={icon} size={12} />
      </Button>
    </Tooltip>
  );
}

function Levels({ levels, onChange }: { levels: readonly Level[]; onChange: (levels: Level[]) => void }) {
  const toggle = (level: Level) => {
    const next = levels.includes(level) ? levels.filter((one) => one !== level) : [...levels, level];
    onChange(next.length === LEVELS.length ? [] : LEVELS.filter((one) => next.includes(one)));
  };
  return (
    <Menu position="bottom-start" transitionProps={{ duration: 0 }} closeOnItemClick={false} withinPortal={false}>
      <Menu.Target>
        <Button
          size="compact-xs"
          variant={levels.length === 0 ? "default" : "light"}
          rightSection={<Icon name="down" size={12} />}
        >
          {levels.length === 0 ? strings.logs.level : levels.map((level) => strings.logs.levels[level]).join(" + ")}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          role="menuitemradio"
          aria-checked={levels.length === 0}
          leftSection={<Tick on={levels.length === 0} />}
          onClick={() => onChange([])}
        >
          {strings.logs.allLevels}
        </Menu.Item>
        {LEVELS.map((level) => (
          <Menu.Item
            key={level}
            role="menuitemcheckbox"
            aria-checked={levels.includes(level)}
            leftSection={<Tick on={levels.includes(level)} />}
            onClick={() => toggle(level)}
          >
            {strings.logs.levels[level]}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
