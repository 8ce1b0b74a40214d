import { Button, Checkbox, NativeSelect, Popover, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useState } from "react";
import { useSearchParams } from "react-router";

import { LOOKED_THROUGH } from "../../api/queries";
import { RUN_STATES } from "../../lib/filters";
import { strings } from "../../lib/strings";
import { Icon } from "../../ui/icons";
import classes from "./runs.module.css";
import { isFiltered, moreCount, RUN_TYPES, type RunsWish } from "./wish";

/** What is in the address is what is shown. */
export function Filters({ wish, total, all }: { wish: RunsWish; total: number | null; all: boolean }) {
  const [, setSearch] = useSearchParams();
  const set = (values: Record<string, string>) =>
    setSearch(
      (now) => {
        const next = new URLSearchParams(now);
        for (const [key, value] of Object.entries(values)) {
          if (value === "") next.delete(key);
          else next.set(key, value);
        }
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  const more = moreCount(wish);
  return (
    <div className={classes.filters} role="search" aria-label={strings.runs.title}>
      <TypedText label={strings.runs.search} value={wish.q} onText={(q) => set({ q })} icon />
      <NativeSelect
        size="xs"
        aria-label={strings.runs.state}
        value={wish.state ?? ""}
        data={[
          { value: "", label: strings.runs.anyState },
          ...RUN_STATES.map((value) => ({ value, label: strings.states[value] })),
        ]}
        onChange={({ currentTarget: { value } }) => set({ state: value })}
      />
      <NativeSelect
        size="xs"
        aria-label={strings.runs.type}
        value={wish.type ?? ""}
        data={[
          { value: "", label: strings.runs.anyType },
          ...RUN_TYPES.map((value) => ({ value, label: strings.runTypes[value] })),
        ]}
        onChange={({ currentTarget: { value } }) => set({ type: value })}
      />
      <span className={classes.range}>
        <TextInput
          size="xs"
          type={wish.from.includes("T") ? "datetime-local" : "date"}
          aria-label={strings.runs.from}
          title={strings.runs.from}
          value={wish.from}
          max={wish.to || undefined}
          onChange={({ currentTarget: { value } }) => set({ from: value })}
        />
        {"–"}
        <TextInput
          size="xs"
          type={wish.to.includes("T") ? "datetime-local" : "date"}
          aria-label={strings.runs.to}
          title={strings.runs.to}
          value={wish.to}
          min={wish.from || undefined}
          onChange={({ currentTarget: { value } }) => set({ to: value })}
        />
      </span>
      <Popover position="bottom-start" withinPortal trapFocus returnFocus transitionProps={{ duration: 0 }}>
        <Popover.Target>
          <Button size="xs" variant="default" leftSection={<Icon name="filter" size={14} />}>
            {more > 0 ? strings.runs.moreOf(more) : strings.runs.more}
          </Button>
        </Popover.Target>
        <Popover.Dropdown>
          <Stack gap="sm" w={240}>
            <TypedText
              label={strings.runs.user}
              hint={strings.runs.userHint}
              value={wish.user}
              onText={(user) => set({ user })}
            />
            {!all && (
              <TypedText
                label={strings.runs.version}
                value={wish.version}
                onText={(version) => set({ version })}
                numeric
              />
            )}
            <Checkbox
              size="xs"
              label={strings.runs.onlyNoted}
              description={strings.runs.notedHint(LOOKED_THROUGH)}
              checked={wish.onlyNoted}
              onChange={({ currentTarget: { checked } }) => set({ note: checked ? "1" : "" })}
            />
          </Stack>
        </Popover.Dropdown>
      </Popover>
      {isFiltered(wish) && (
        <Button
          size="compact-xs"
          variant="subtle"
          color="gray"
          c="inherit"
          onClick={() => set({ q: "", state: "", type: "", from: "", to: "", user: "", version: "", note: "" })}
        >
          {strings.runs.clearFilters}
        </Button>
      )}
      {total !== null && (
        <Text size="xs" c="dimmed" role="status">
          {strings.runs.total(total)}
        </Text>
      )}
    </div>
  );
}

interface TextProps {
  label: string;
  hint?: string;
  value: string;
  onText: (value: string) => void;
  icon?: boolean;
  numeric?: boolean;
}

/** What is typed goes into the address a moment later. */
function TypedText({ label, hint, value, onText, icon = false, numeric = false }: TextProps) {
  const [text, setText] = useState(value);
  const [told, setTold] = useState(value);
  if (told !== value) {
    setTold(value);
    if (value !== text.trim()) setText(value);
  }
  const apply = useDebouncedCallback((typed: string) => onText(typed.trim()), 250);
  const named = icon ? { "aria-label": label, placeholder: label } : { label, description: hint };
  return (
    <TextInput
      size="xs"
      type={icon ? "search" : "text"}
      inputMode={numeric ? "numeric" : undefined}
      {...named}
      leftSection={icon ? <Icon name="search" size={14} /> : undefined}
      value={text}
      onChange={({ currentTarget: { value: typed } }) => {
        setText(typed);
        apply(typed);
      }}
    />
  );
}
