import { Anchor, Button, Checkbox, Code, Select, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { Link, useSearchParams } from "react-router";

import { AUDIT_PER_PAGE, auditQuery, type AuditFilter, type AuditRow } from "../../api/queries";
import { brief, pieces, told } from "../../lib/audit";
import { strings } from "../../lib/strings";
import { instantAt } from "../../lib/time";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { Icon } from "../../ui/icons";
import { Pager, pageOf } from "../../ui/Pager";
import { Time } from "../../ui/Time";
import { Panel } from "../Panel";
import classes from "./audit.module.css";

/** What is fixed by the page: the history of one DAG, run or task. Null: of everything. */
export interface AuditOf {
  dagId?: string;
  runId?: string;
  taskId?: string;
}

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const instant = (text: string | null, time: string) =>
  text !== null && DAY.test(text) ? instantAt(`${text}T${time}`) : null;

/** The filters are in the address: `who`, `deed`, `dag`, `from`, `to`, `all`. */
export function auditFilter(search: URLSearchParams, { dagId, runId, taskId }: AuditOf): AuditFilter {
  return {
    dagId: dagId ?? (search.get("dag") || null),
    runId: runId ?? null,
    taskId: taskId ?? null,
    owner: search.get("who") || null,
    event: search.get("deed") || null,
    everybody: search.has("all"),
    after: instant(search.get("from"), "00:00"),
    before: instant(search.get("to"), "23:59:59"),
    page: pageOf(search),
  };
}

/** Who did what and when, a sentence each: for a page of its own, and for the history of one thing. */
export function AuditTable({ of = {} }: { of?: AuditOf }) {
  return (
    <>
      <Filters of={of} />
      <Panel>
        <Rows of={of} />
      </Panel>
    </>
  );
}

function Filters({ of }: { of: AuditOf }) {
  const words = strings.audit;
  const [search, setSearch] = useSearchParams();
  const set = (key: string, value: string | null) =>
    setSearch(
      (before) => {
        if (value === null || value === "") before.delete(key);
        else before.set(key, value);
        before.delete("page");
        return before;
      },
      { replace: true },
    );
  const deeds = Object.keys(words.deeds)
    .filter((key) => !/_(success|failed|note|many|failures)$/.test(key) && key !== "pause_dag" && key !== "unpause_dag")
    .map((key) => ({
      value: key,
      label: (words.deeds[key] ?? key).replaceAll(/\s*[:：]?\s*\{[a-z]+\}/g, " …").trim(),
    }));
  return (
    <div className={classes.filters} role="search">
      <Typed label={words.who} name="who" onSet={set} value={search.get("who") ?? ""} />
      {of.dagId === undefined && <Typed label={words.dag} name="dag" onSet={set} value={search.get("dag") ?? ""} />}
      <Select
        size="xs"
        w={220}
        label={words.event}
        data={deeds}
        value={search.get("deed")}
        searchable
        clearable
        onChange={(value) => set("deed", value)}
      />
      <TextInput
        size="xs"
        type="date"
        label={words.from}
        value={search.get("from") ?? ""}
        onChange={(event) => set("from", event.currentTarget.value)}
      />
      <TextInput
        size="xs"
        type="date"
        label={words.to}
        value={search.get("to") ?? ""}
        onChange={(event) => set("to", event.currentTarget.value)}
      />
      <Checkbox
        size="xs"
        label={words.everybody}
        checked={search.has("all")}
        onChange={(event) => set("all", event.currentTarget.checked ? "1" : null)}
      />
    </div>
  );
}

interface TypedProps {
  label: string;
  name: string;
  value: string;
  onSet: (name: string, value: string) => void;
}

/** What is typed goes into the address a moment later. */
function Typed({ label, name, value, onSet }: TypedProps) {
  const [text, setText] = useState(value);
  const apply = useDebouncedCallback((typed: string) => onSet(name, typed.trim()), 250);
  return (
    <TextInput
      size="xs"
      w={140}
      type="search"
      label={label}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        apply(event.currentTarget.value);
      }}
    />
  );
}

function Rows({ of }: { of: AuditOf }) {
  const words = strings.audit;
  const [search, setSearch] = useSearchParams();
  const filter = auditFilter(search, of);
  const { data } = useSuspenseQuery(auditQuery(filter));
  if (data.event_logs.length === 0) {
    const isFiltered = ["who", "deed", "dag", "from", "to"].some((key) => search.has(key));
    return (
      <EmptyState text={isFiltered ? words.noMatch : words.empty}>
        {isFiltered && (
          <Button size="compact-sm" variant="default" onClick={() => setSearch({}, { replace: true })}>
            {words.clear}
          </Button>
        )}
      </EmptyState>
    );
  }
  return (
    <>
      <ol className={classes.rows} aria-label={words.title}>
        {data.event_logs.map((row) => (
          <Entry key={row.event_log_id} row={row} />
        ))}
      </ol>
      <Pager page={filter.page} size={AUDIT_PER_PAGE} total={data.total_entries} />
    </>
  );
}

function Entry({ row }: { row: AuditRow }) {
  const words = strings.audit;
  const { key, name, count, changes } = told({ ...row, map_index: row.map_index ?? null });
  const sentence = words.deeds[key] ?? (row.dag_id === null ? words.unknown : `${words.unknown} · {dag}`);
  const slot = (which: string): ReactNode => {
    switch (which) {
      case "dag":
        return row.dag_id === null ? (
          ""
        ) : (
          <Anchor component={Link} to={paths.dag(row.dag_id)}>
            {row.dag_display_name ?? row.dag_id}
          </Anchor>
        );
      case "run":
        return row.dag_id === null || row.run_id === null ? (
          ""
        ) : (
          <Anchor component={Link} to={paths.run(row.dag_id, row.run_id)}>
            {row.run_id}
          </Anchor>
        );
      case "task":
        return row.dag_id === null || row.run_id === null || row.task_id === null ? (
          (row.task_display_name ?? row.task_id ?? "")
        ) : (
          <Anchor
            component={Link}
            to={paths.task({
              dagId: row.dag_id,
              runId: row.run_id,
              taskId: row.task_id,
              mapIndex: row.map_index ?? -1,
            })}
          >
            {row.task_display_name ?? row.task_id}
            {row.map_index !== null && row.map_index >= 0 ? ` [${row.map_index}]` : ""}
          </Anchor>
        );
      case "count":
        return count === null ? "" : words.tasks(count);
      default:
        return <b>{name ?? row.event}</b>;
    }
  };
  return (
    <li className={classes.row}>
      <span className={classes.who}>
        <Icon name={row.owner === null ? "nodes" : "user"} size={14} />
        {row.owner ?? words.nobody}
      </span>
      <span className={classes.what}>
        <span>
          {pieces(sentence).map((piece, index) => (
            <span key={index}>{piece.kind === "text" ? piece.text : slot(piece.slot)}</span>
          ))}
        </span>
        {changes.length > 0 && (
          <span className={classes.changes}>
            {changes.map(({ what, before, after }) => (
              <span key={what}>
                {words.change(what)}{" "}
                {before !== undefined && (
                  <>
                    <del>{brief(before)}</del>
                    {" → "}
                  </>
                )}
                <ins>{brief(after)}</ins>
              </span>
            ))}
          </span>
        )}
        {row.extra !== null && row.extra !== "" && changes.some(({ after }) => brief(after).endsWith("…")) && (
          <details>
            <summary>{words.raw}</summary>
            <Code block>{row.extra}</Code>
          </details>
        )}
      </span>
      <span className={classes.when}>
        <Time at={row.when} />
      </span>
    </li>
  );
}
