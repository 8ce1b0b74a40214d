import { Button, Checkbox, Code, SegmentedControl, Select, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { useLocation, useNavigate, useParams, useSearchParams } from "react-router";

import type { DagDetails, DagRun } from "../../api/client";
import { messageOf } from "../../api/errors";
import { useSetPaused, useTriggerWith, type TriggerRequest } from "../../api/mutations";
import { dagQuery, recentRunsQuery, runQuery } from "../../api/queries";
import { curl } from "../../lib/params/fields";
import { preferences } from "../../lib/preferences";
import { strings } from "../../lib/strings";
import { clock, instantAt } from "../../lib/time";
import { CanButton } from "../../parts/Can";
import { ConfFields } from "../../parts/conf/ConfFields";
import { useConf } from "../../parts/conf/useConf";
import { Panel } from "../../parts/Panel";
import { RunsTable } from "../../parts/RunsTable";
import { paths } from "../../paths";
import { CopyButton } from "../../ui/CopyButton";
import { FormGrid, JsonField, Wide } from "../../ui/Form";
import { Notice } from "../../ui/Notice";
import { useNow } from "../../ui/now";
import { Sheet } from "../../ui/Sheet";
import { toast } from "../../ui/toasts";
import classes from "./trigger.module.css";

/** The form that triggers a DAG, over the runs that it has had. `?like=` fills it with the conf of that run. */
export function TriggerSheet() {
  const { dagId = "" } = useParams();
  const [search] = useSearchParams();
  const like = search.get("like");
  const { data: dag } = useSuspenseQuery(dagQuery(dagId));
  const { data: run, error } = useQuery({ ...runQuery(dagId, like ?? ""), enabled: like !== null });
  const navigate = useNavigate();
  const { key } = useLocation();
  const isReady = like === null || run !== undefined || error !== null;
  // "default": the page was opened here, there is nothing to go back to.
  const close = () => (key === "default" ? void navigate(paths.dag(dagId)) : void navigate(-1));
  return (
    <>
      <Panel>
        <RunsTable dagId={dagId} />
      </Panel>
      {isReady && (
        <TriggerForm
          key={like}
          dag={dag}
          like={run ?? null}
          problem={error === null ? null : messageOf(error)}
          onClose={close}
        />
      )}
    </>
  );
}

type View = "form" | "json" | "command";

interface Props {
  dag: DagDetails;
  like: DagRun | null;
  /** Why the run to be like is not there. */
  problem: string | null;
  onClose: () => void;
}

function TriggerForm({ dag, like, problem, onClose }: Props) {
  const words = strings.trigger;
  const id = useId();
  const navigate = useNavigate();
  const conf = useConf(dag.params, like?.conf ?? {});
  const [view, setView] = useState<View>(conf.fields.length > 0 ? "form" : "json");
  const [logicalDate, setLogicalDate] = useState("");
  const [runId, setRunId] = useState("");
  const [note, setNote] = useState("");
  const [unpause, setUnpause] = useState(true);
  const trigger = useTriggerWith(dag.dag_id);
  const setPaused = useSetPaused(dag.dag_id);

  const body: TriggerRequest = {
    logical_date: logicalDate === "" ? null : instantAt(logicalDate),
    conf: conf.conf,
    ...(runId.trim() === "" ? {} : { dag_run_id: runId.trim() }),
    ...(note.trim() === "" ? {} : { note: note.trim() }),
  };
  const submit = () => {
    conf.complain();
    if (conf.firstProblem !== null || trigger.isPending) return;
    trigger.mutate(body, {
      onSuccess: (run) => {
        if (dag.is_paused && unpause) setPaused.mutate(false);
        toast({ text: words.started(dag.dag_display_name) });
        void navigate(paths.run(dag.dag_id, run.dag_run_id), { replace: true });
      },
    });
  };
  const command = curl(window.location.origin, `/api/v2/dags/${encodeURIComponent(dag.dag_id)}/dagRuns`, body);
  const extra = Object.keys(conf.extra);

  return (
    <Sheet
      opened
      onClose={onClose}
      title={words.title(dag.dag_display_name)}
      width={640}
      footer={
        <>
          <Text size="xs" c="dimmed" className={classes.hint}>
            {words.keys}
          </Text>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton
            needs="Write:DagRun"
            type="submit"
            form={id}
            loading={trigger.isPending}
            reason={conf.firstProblem}
            onClick={conf.complain}
          >
            {words.submit}
          </CanButton>
        </>
      }
    >
      {/* Enter triggers from a line of text; from a text of many lines it is Ctrl+Enter. */}
      <div
        role="presentation"
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
        }}
      >
        <form
          id={id}
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            submit();
          }}
        >
          {/* What Enter presses: the visible button stands outside of the form. */}
          <button type="submit" hidden aria-hidden="true" tabIndex={-1} />
          {trigger.error !== null && <Notice error>{messageOf(trigger.error)}</Notice>}
          {problem !== null && <Notice error>{problem}</Notice>}
          <div className={classes.head}>
            <SegmentedControl
              size="xs"
              aria-label={words.views}
              value={view}
              onChange={(value) => setView(value as View)}
              data={[
                ...(conf.fields.length > 0 ? [{ value: "form", label: words.form }] : []),
                { value: "json", label: words.json },
                { value: "command", label: words.command },
              ]}
            />
            <LikePicker dagId={dag.dag_id} like={like} />
          </div>
          {like !== null && (
            <Text size="sm" mb="sm">
              {words.likeIs(like.dag_run_id)}
            </Text>
          )}
          {conf.fields.length === 0 && view === "json" && (
            <Text size="sm" c="dimmed" mb="sm">
              {words.noParams}
            </Text>
          )}
          {view === "form" && <ConfFields conf={conf} />}
          {view === "form" && extra.length > 0 && (
            <Text size="xs" c="dimmed" mt="sm">
              {words.extra(extra.join(", "))}
            </Text>
          )}
          {view === "json" && (
            <JsonField
              label={words.conf}
              description={words.confHint}
              value={conf.text}
              onChange={conf.changeText}
              error={conf.textError}
              minRows={conf.fields.length > 0 ? 12 : 5}
            />
          )}
          {view === "command" && (
            <Stack gap={6}>
              <div className={classes.head}>
                <Text size="sm" c="dimmed">
                  {words.commandHint}
                </Text>
                <CopyButton text={command} label={words.copyCommand} />
              </div>
              <Code block className={classes.command} tabIndex={0}>
                {command}
              </Code>
            </Stack>
          )}
          <details className={classes.more}>
            <summary>{words.more}</summary>
            <FormGrid>
              <TextInput
                type="datetime-local"
                label={words.logicalDate}
                description={words.logicalDateHint(preferences.zone())}
                value={logicalDate}
                onChange={(event) => setLogicalDate(event.currentTarget.value)}
              />
              <TextInput
                label={words.runId}
                description={words.runIdHint}
                value={runId}
                onChange={(event) => setRunId(event.currentTarget.value)}
              />
              <Wide>
                <Textarea
                  label={words.note}
                  autosize
                  minRows={2}
                  value={note}
                  onChange={(event) => setNote(event.currentTarget.value)}
                />
              </Wide>
            </FormGrid>
          </details>
          {dag.is_paused && (
            <Checkbox
              mt="md"
              label={words.unpause}
              description={unpause ? undefined : words.paused}
              checked={unpause}
              onChange={(event) => setUnpause(event.currentTarget.checked)}
            />
          )}
        </form>
      </div>
    </Sheet>
  );
}

/** Recent runs that had a conf of their own. */
function LikePicker({ dagId, like }: { dagId: string; like: DagRun | null }) {
  const { data } = useQuery(recentRunsQuery(dagId));
  const [, setSearch] = useSearchParams();
  const now = useNow((ms) => Math.floor(ms / 3_600_000) * 3_600_000);
  const runs = (data?.dag_runs ?? []).filter(
    (run) => run.dag_run_id === like?.dag_run_id || Object.keys(run.conf ?? {}).length > 0,
  );
  if (runs.length === 0) return null;
  return (
    <Select
      size="xs"
      w={240}
      aria-label={strings.trigger.like}
      placeholder={strings.trigger.like}
      clearable
      data={runs.map(({ dag_run_id, run_after }) => ({
        value: dag_run_id,
        label: `${clock(run_after, now)} · ${dag_run_id}`,
      }))}
      value={like?.dag_run_id ?? null}
      onChange={(id) => setSearch(id === null ? {} : { like: id }, { replace: true })}
    />
  );
}
