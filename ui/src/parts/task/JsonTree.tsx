import { Button, Table } from "@mantine/core";
import { useState } from "react";

import { isRecords, columnsOf } from "../../lib/json";
import { strings } from "../../lib/strings";
import { ScrollTable } from "../../ui/ScrollTable";
import classes from "./task.module.css";

/** Children that are drawn before one asks for the rest. */
const SHOWN = 100;
const OPEN_TO = 2;

/** A value as people read it: objects in a list as a table, everything else as a tree that is open two levels deep. */
export function JsonValue({ value, label }: { value: unknown; label: string }) {
  const [all, setAll] = useState(false);
  if (!isRecords(value)) {
    return (
      <div className={classes.json}>
        <Node value={value} depth={0} />
      </div>
    );
  }
  const columns = columnsOf(value);
  const rows = all ? value : value.slice(0, SHOWN);
  return (
    <>
      <ScrollTable label={label} head={["#", ...columns]}>
        {rows.map((row, index) => (
          <Table.Tr key={index}>
            <Table.Td c="dimmed">{index}</Table.Td>
            {columns.map((column) => (
              <Table.Td key={column}>
                <div className={classes.json}>
                  {Object.hasOwn(row, column) ? <Node value={row[column]} depth={OPEN_TO} /> : strings.app.none}
                </div>
              </Table.Td>
            ))}
          </Table.Tr>
        ))}
      </ScrollTable>
      {rows.length < value.length && <ShowAll count={value.length} onClick={() => setAll(true)} />}
    </>
  );
}

const ShowAll = ({ count, onClick }: { count: number; onClick: () => void }) => (
  <Button size="compact-xs" variant="subtle" onClick={onClick}>
    {strings.tasks.showAll(count)}
  </Button>
);

function Node({ value, depth }: { value: unknown; depth: number }) {
  if (value === null || typeof value !== "object") return <Leaf value={value} />;
  const entries: [string, unknown][] = Array.isArray(value)
    ? value.map((item, index) => [String(index), item])
    : Object.entries(value);
  const isList = Array.isArray(value);
  if (entries.length === 0) return <span className={classes.jsonMuted}>{isList ? "[]" : "{}"}</span>;
  return <Branch entries={entries} isList={isList} depth={depth} />;
}

function Branch({ entries, isList, depth }: { entries: [string, unknown][]; isList: boolean; depth: number }) {
  const [open, setOpen] = useState(depth < OPEN_TO);
  const [all, setAll] = useState(false);
  const count = isList ? strings.tasks.items(entries.length) : strings.tasks.fields(entries.length);
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className={classes.jsonMuted}>
        {isList ? "[ ]" : "{ }"} {count}
      </summary>
      {open && (
        <ul>
          {(all ? entries : entries.slice(0, SHOWN)).map(([key, item]) => (
            <li key={key}>
              <span className={isList ? classes.jsonMuted : classes.jsonKey}>{key}</span>
              {": "}
              <Node value={item} depth={depth + 1} />
            </li>
          ))}
          {!all && entries.length > SHOWN && (
            <li>
              <ShowAll count={entries.length} onClick={() => setAll(true)} />
            </li>
          )}
        </ul>
      )}
    </details>
  );
}

function Leaf({ value }: { value: unknown }) {
  if (typeof value === "string") return <span className={classes.jsonText}>{value === "" ? '""' : value}</span>;
  return <span className={classes.jsonMuted}>{value === undefined ? strings.app.none : JSON.stringify(value)}</span>;
}
