import { Button, Checkbox, NumberInput, Stack, Textarea, TextInput } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { messageOf } from "../../api/errors";
import { poolsQuery, type Pool, type PoolTask } from "../../api/queries/admin";
import { useDeletePool, useSavePool, type PoolFields } from "../../api/mutations/admin";
import { strings } from "../../lib/strings";
import { CanButton, useCan } from "../../parts/Can";
import { Confirm } from "../../parts/task/Confirm";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { MoreMenu } from "../../ui/MoreMenu";
import { Notice } from "../../ui/Notice";
import { PageHead } from "../../ui/Page";
import { Sheet } from "../../ui/Sheet";
import { Time } from "../../ui/Time";
import classes from "./admin.module.css";
import { Usage } from "./Usage";
import { useSearchParam } from "./useSearchParam";

const DEFAULT = "default_pool";

/** How full a pool is: the fullest, and those that somebody waits for, come first. */
const pressure = (pool: Pool) =>
  (pool.waiting.length > 0 ? 10 : 0) + (pool.slots < 0 ? 0 : pool.occupied / Math.max(1, pool.slots));

/** Pools: how much of each is used, by whom, and who waits. */
export function PoolsPage() {
  const { data } = useSuspenseQuery(poolsQuery());
  const [chosen] = useSearchParam("pool");
  const [editing, setEditing] = useState<Pool | "new" | null>(null);
  const [deleting, setDeleting] = useState<Pool | null>(null);
  const words = strings.admin.pools;
  const pools = data.pools.toSorted(
    (a, b) =>
      Number(b.name === chosen) - Number(a.name === chosen) ||
      pressure(b) - pressure(a) ||
      a.name.localeCompare(b.name),
  );
  return (
    <>
      <PageHead title={words.title}>
        <CanButton needs="Write:Pool" size="compact-sm" onClick={() => setEditing("new")}>
          {words.createTitle}
        </CanButton>
      </PageHead>
      {pools.length === 0 && <EmptyState text={words.empty} />}
      <ul className={classes.pools}>
        {pools.map((pool) => (
          <PoolRow
            key={pool.name}
            pool={pool}
            isChosen={pool.name === chosen}
            onEdit={() => setEditing(pool)}
            onDelete={() => setDeleting(pool)}
          />
        ))}
      </ul>
      {editing !== null && <PoolForm pool={editing === "new" ? null : editing} onClose={() => setEditing(null)} />}
      {deleting !== null && <Deleting pool={deleting} onClose={() => setDeleting(null)} />}
    </>
  );
}

interface RowProps {
  pool: Pool;
  isChosen: boolean;
  onEdit: () => void;
  onDelete: () => void;
}

function PoolRow({ pool, isChosen, onEdit, onDelete }: RowProps) {
  const words = strings.admin.pools;
  const cannot = useCan("Write:Pool");
  const slots = pool.slots < 0 ? words.unlimited : String(pool.slots);
  const whole = Math.max(1, pool.slots < 0 ? pool.occupied * 2 : pool.slots);
  const isFull = pool.slots >= 0 && pool.occupied >= pool.slots;
  const waits = Math.max(pool.scheduled, pool.waiting.length);
  return (
    <li className={classes.pool} data-chosen={isChosen || undefined}>
      <div className={classes.poolHead}>
        <h2>{pool.name}</h2>
        {isFull && pool.slots > 0 && <span className={classes.full}>{words.full}</span>}
        <span className={classes.muted}>{pool.description}</span>
        <span className={classes.poolMenu}>
          <MoreMenu
            label={strings.admin.moreOf(pool.name)}
            items={[
              { label: strings.admin.edit, icon: "edit", reason: cannot, onClick: onEdit },
              {
                label: strings.admin.delete,
                icon: "trash",
                danger: true,
                reason: cannot ?? (pool.name === DEFAULT ? words.isDefault : null),
                onClick: onDelete,
              },
            ]}
          />
        </span>
      </div>
      <Usage
        label={words.usage(pool.occupied, slots)}
        parts={[
          { share: (pool.occupied - pool.queued) / whole, look: isFull ? "full" : "used" },
          { share: pool.queued / whole, look: "queued" },
        ]}
      />
      <p className={classes.poolFacts}>
        <strong>{words.usage(pool.occupied, slots)}</strong>
        <span>{words.running(pool.running)}</span>
        <span>{words.queued(pool.queued)}</span>
        {pool.deferred > 0 && <span>{words.deferred(pool.deferred)}</span>}
        {waits > 0 && <span>{words.waiting(waits)}</span>}
      </p>
      {(pool.holders.length > 0 || pool.waiting.length > 0) && (
        <details className={classes.poolDetails} open={isChosen || pool.waiting.length > 0}>
          <summary>{words.details(pool.name)}</summary>
          <div className={classes.poolLists}>
            <Tasks title={words.holders} tasks={pool.holders} />
            <Tasks title={words.queue} tasks={pool.waiting} />
          </div>
        </details>
      )}
    </li>
  );
}

function Tasks({ title, tasks }: { title: string; tasks: PoolTask[] }) {
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      {tasks.length === 0 && <p className={classes.muted}>{strings.admin.pools.noHolders}</p>}
      <ol>
        {tasks.map((task) => {
          const key = { dagId: task.dag_id, runId: task.dag_run_id, taskId: task.task_id, mapIndex: task.map_index };
          return (
            <li key={JSON.stringify(key)}>
              <Link to={paths.task(key)}>
                {task.dag_id} › {task.task_id}
                {task.map_index >= 0 && ` [${task.map_index}]`}
              </Link>{" "}
              <span className={classes.muted}>
                <Time at={task.since} short />
                {task.priority_weight !== undefined && ` · ${strings.admin.pools.priority(task.priority_weight)}`}
              </span>
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function PoolForm({ pool, onClose }: { pool: Pool | null; onClose: () => void }) {
  const words = strings.admin.pools;
  const save = useSavePool();
  const [fields, setFields] = useState<PoolFields>({
    name: pool?.name ?? "",
    slots: pool?.slots ?? 1,
    description: pool?.description ?? "",
    include_deferred: pool?.include_deferred ?? false,
  });
  const set = (change: Partial<PoolFields>) => setFields({ ...fields, ...change });
  const isNew = pool === null;
  return (
    <Sheet
      opened
      onClose={onClose}
      title={isNew ? words.createTitle : words.editTitle(pool.name)}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton needs="Write:Pool" type="submit" form="pool" loading={save.isPending}>
            {isNew ? words.createSubmit : strings.admin.save}
          </CanButton>
        </>
      }
    >
      <form
        id="pool"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate({ fields, isNew }, { onSuccess: onClose });
        }}
      >
        <Stack gap="sm">
          {save.error !== null && <Notice error>{messageOf(save.error)}</Notice>}
          <TextInput
            label={strings.admin.name}
            required
            readOnly={!isNew}
            maxLength={250}
            value={fields.name}
            onChange={(event) => set({ name: event.currentTarget.value })}
            data-autofocus={isNew || undefined}
          />
          <NumberInput
            label={words.slots}
            description={words.slotsHint}
            required
            min={-1}
            allowDecimal={false}
            value={fields.slots}
            onChange={(value) => set({ slots: Number(value) })}
          />
          <Textarea
            label={strings.admin.description}
            autosize
            minRows={2}
            value={fields.description}
            onChange={(event) => set({ description: event.currentTarget.value })}
          />
          <Checkbox
            label={words.includeDeferred}
            checked={fields.include_deferred}
            onChange={(event) => set({ include_deferred: event.currentTarget.checked })}
          />
        </Stack>
      </form>
    </Sheet>
  );
}

function Deleting({ pool, onClose }: { pool: Pool; onClose: () => void }) {
  const words = strings.admin.pools;
  const remove = useDeletePool();
  return (
    <Confirm
      danger
      title={words.deleteTitle(pool.name)}
      text={words.deleteText(pool.occupied + pool.waiting.length)}
      submit={words.deleteSubmit(pool.name)}
      needs="Write:Pool"
      isPending={remove.isPending}
      error={remove.error}
      onSubmit={() => remove.mutate(pool.name, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
