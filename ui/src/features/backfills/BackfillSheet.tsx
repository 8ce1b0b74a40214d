import { Button, Checkbox, NumberInput, Radio, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";

import type { DagDetails } from "../../api/client";
import { messageOf } from "../../api/errors";
import { useCreateBackfill } from "../../api/mutations";
import { dryRunQuery, recentRunsQuery, type Backfill, type BackfillRequest } from "../../api/queries";
import { estimate, instants } from "../../lib/backfill";
import { strings } from "../../lib/strings";
import { duration, isoInZone } from "../../lib/time";
import { CanButton } from "../../parts/Can";
import { FormGrid, JsonField, parseJson, Wide } from "../../ui/Form";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import { toast } from "../../ui/toasts";
import classes from "./backfills.module.css";

/** So many of the runs that would be made are listed. */
const SHOWN = 100;

export function BackfillSheet({ dag, onClose }: { dag: DagDetails; onClose: () => void }) {
  const words = strings.backfills;
  const id = useId();
  const zone = dag.timezone ?? "UTC";
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [behaviour, setBehaviour] = useState<Backfill["reprocess_behavior"]>("none");
  const [atOnce, setAtOnce] = useState(Math.max(1, Math.min(dag.max_active_runs ?? 10, 10)));
  const [backwards, setBackwards] = useState(false);
  const [latest, setLatest] = useState(true);
  const [conf, setConf] = useState("");
  const create = useCreateBackfill();

  const dates = instants({ from, to }, zone);
  const parsed = parseJson(conf);
  const body: BackfillRequest | null =
    dates === null
      ? null
      : {
          dag_id: dag.dag_id,
          ...dates,
          run_backwards: backwards,
          reprocess_behavior: behaviour,
          max_active_runs: atOnce,
          run_on_latest_version: latest,
          ...(parsed.value === undefined ? {} : { dag_run_conf: parsed.value as Record<string, unknown> }),
        };
  // What is asked for is the same whatever the conf: a key while it is typed changes nothing.
  const [asked] = useDebouncedValue(
    body === null ? null : JSON.stringify({ ...body, dag_run_conf: undefined, max_active_runs: 1 }),
    150,
  );
  const dry = useQuery(dryRunQuery(asked === null ? null : (JSON.parse(asked) as BackfillRequest)));
  const total = body === null || asked === null ? null : (dry.data?.total_entries ?? null);

  const submit = () => {
    if (body === null || total === null || total === 0 || parsed.error !== null || create.isPending) return;
    create.mutate(body, {
      onSuccess: () => {
        toast({ text: words.created(total) });
        onClose();
      },
    });
  };
  const reason =
    from !== "" && to !== "" && from > to
      ? words.wrongOrder
      : body === null
        ? words.choose
        : (parsed.error ?? (total === 0 ? words.nothing : null));

  return (
    <Sheet
      opened
      onClose={onClose}
      title={words.title(dag.dag_display_name)}
      width={600}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton needs="Write:Backfill" type="submit" form={id} loading={create.isPending} reason={reason}>
            {total === null || total === 0 ? words.create : words.submit(total)}
          </CanButton>
        </>
      }
    >
      <form
        id={id}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        {create.error !== null && <Notice error>{messageOf(create.error)}</Notice>}
        <FormGrid>
          <TextInput
            type="date"
            label={words.from}
            description={words.zoneHint(zone)}
            required
            data-autofocus
            value={from}
            onChange={(event) => setFrom(event.currentTarget.value)}
          />
          <TextInput
            type="date"
            label={words.to}
            description={words.zoneHint(zone)}
            required
            value={to}
            error={from !== "" && to !== "" && from > to ? words.wrongOrder : null}
            onChange={(event) => setTo(event.currentTarget.value)}
          />
          <Wide>
            <Radio.Group
              label={words.reprocess}
              value={behaviour}
              onChange={(value) => setBehaviour(value as Backfill["reprocess_behavior"])}
            >
              <Stack gap={6} mt={6}>
                <Radio value="none" label={words.missing} description={words.missingHint} />
                <Radio value="failed" label={words.failed} description={words.failedHint} />
                <Radio value="completed" label={words.all} description={words.allHint} />
              </Stack>
            </Radio.Group>
          </Wide>
          <NumberInput
            label={words.maxActive}
            value={atOnce}
            min={1}
            max={1_000}
            clampBehavior="strict"
            allowDecimal={false}
            onChange={(value) => setAtOnce(typeof value === "number" && value >= 1 ? value : 1)}
          />
          <Stack gap={8} justify="flex-end">
            <Checkbox
              label={words.backwards}
              checked={backwards}
              onChange={(event) => setBackwards(event.currentTarget.checked)}
            />
            <Checkbox
              label={words.latest}
              checked={latest}
              onChange={(event) => setLatest(event.currentTarget.checked)}
            />
          </Stack>
          <Wide>
            <JsonField label={words.conf} value={conf} onChange={setConf} minRows={2} />
          </Wide>
        </FormGrid>
        <Preview
          dagId={dag.dag_id}
          zone={zone}
          atOnce={atOnce}
          total={total}
          dates={(dry.data?.backfills ?? []).flatMap(({ logical_date }) => logical_date ?? [])}
          error={body === null ? null : dry.error}
          isAsking={dry.isFetching}
        />
      </form>
    </Sheet>
  );
}

interface PreviewProps {
  dagId: string;
  zone: string;
  atOnce: number;
  total: number | null;
  dates: string[];
  error: Error | null;
  isAsking: boolean;
}

/** What would run, while the form is filled in: how many, how long it would take, which. */
function Preview({ dagId, zone, atOnce, total, dates, error, isAsking }: PreviewProps) {
  const words = strings.backfills;
  const { data: recent } = useQuery(recentRunsQuery(dagId));
  const durations = (recent?.dag_runs ?? []).flatMap((run) => (run.state === "success" ? (run.duration ?? []) : []));
  const time = total === null ? null : estimate(total, atOnce, durations);
  return (
    <section className={classes.preview} aria-live="polite" aria-busy={isAsking}>
      {error !== null ? (
        <Notice error>{messageOf(error)}</Notice>
      ) : total === null ? (
        <Text size="sm" c="dimmed">
          {isAsking ? words.counting : words.choose}
        </Text>
      ) : total === 0 ? (
        <Text size="sm">{words.nothing}</Text>
      ) : (
        <>
          <Text size="sm" fw={600}>
            {words.preview(total)}
            {time !== null && (
              <Text span c="dimmed" fw={400}>
                {" · "}
                {words.estimate(duration(time))}
              </Text>
            )}
          </Text>
          <div className={classes.dates} role="region" tabIndex={0} aria-label={words.preview(total)}>
            <ol>
              {dates.slice(0, SHOWN).map((date) => (
                <li key={date}>{isoInZone(date, zone).slice(0, 16).replace("T", " ")}</li>
              ))}
            </ol>
          </div>
          {total > SHOWN && (
            <Text size="xs" c="dimmed">
              {words.more(total - Math.min(SHOWN, dates.length))}
            </Text>
          )}
        </>
      )}
    </section>
  );
}
