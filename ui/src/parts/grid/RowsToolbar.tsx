import { Button, Checkbox, Group, Text, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useState, type ReactNode } from "react";

import { strings } from "../../lib/strings";
import { Icon } from "../../ui/icons";
import type { Rows } from "./useRows";

/** Which rows are shown: a part of a task's name or of a state's word, failures only, folds. `children`: what the view adds. */
export function RowsToolbar({ rows, children }: { rows: Rows; children?: ReactNode }) {
  const { filter, setFilter, all, shown, open, isFiltered } = rows;
  const [text, setText] = useState(filter.text);
  // What somebody else changed (the browser's "back", a link) is taken over; what is being typed is not.
  const [told, setTold] = useState(filter.text);
  if (told !== filter.text) {
    setTold(filter.text);
    if (filter.text !== text.trim()) setText(filter.text);
  }
  const apply = useDebouncedCallback((value: string) => setFilter({ ...filter, text: value.trim() }), 120);
  const tasks = all.filter((row) => row.kind === "task").length;
  const groups = all.length - tasks;
  return (
    <Group gap="sm" mb={8} role="search" aria-label={strings.dag.filter}>
      <TextInput
        size="xs"
        w={200}
        type="search"
        aria-label={strings.dag.filter}
        placeholder={strings.dag.filter}
        leftSection={<Icon name="search" size={14} />}
        value={text}
        onChange={({ currentTarget: { value } }) => {
          setText(value);
          apply(value);
        }}
      />
      <Checkbox
        size="xs"
        label={strings.dag.failuresOnly}
        checked={filter.failuresOnly}
        onChange={({ currentTarget: { checked } }) => setFilter({ ...filter, failuresOnly: checked })}
      />
      {children}
      {groups > 0 && !isFiltered && (
        <Button
          size="compact-xs"
          variant="subtle"
          color="gray"
          c="inherit"
          onClick={() => rows.setOpen(open.size === 0 ? "all" : "none")}
        >
          {open.size === 0 ? strings.dag.unfold : strings.dag.fold}
        </Button>
      )}
      <Text size="xs" c="dimmed" role="status">
        {isFiltered
          ? strings.dag.shownOf(shown.filter((row) => row.kind === "task").length, tasks)
          : strings.dag.taskCount(tasks)}
      </Text>
    </Group>
  );
}
