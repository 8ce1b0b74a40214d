import { Button, Group, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { useNavigate } from "react-router";

import type { DagDetails } from "../../api/client";
import { messageOf } from "../../api/errors";
import { useDeleteDag } from "../../api/mutations";
import { runsQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import { lastRun } from "./lastRun";

/** Says how much goes with it, and wants the name typed: this cannot be undone. */
export function DeleteDag({ dag, opened, onClose }: { dag: DagDetails; opened: boolean; onClose: () => void }) {
  const form = useId();
  const navigate = useNavigate();
  const remove = useDeleteDag(dag.dag_id);
  const [typed, setTyped] = useState("");
  const { data } = useQuery({ ...runsQuery(lastRun(dag.dag_id)), enabled: opened });
  const runs = data?.total_entries ?? 0;
  const close = () => {
    setTyped("");
    remove.reset();
    onClose();
  };
  return (
    <Sheet
      opened={opened}
      onClose={close}
      title={strings.dag.removeTitle(dag.dag_id)}
      width={480}
      footer={
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {strings.app.cancel}
          </Button>
          <Button form={form} type="submit" color="red" disabled={typed !== dag.dag_id} loading={remove.isPending}>
            {strings.dag.removeNow(runs)}
          </Button>
        </Group>
      }
    >
      <form
        id={form}
        onSubmit={(event) => {
          event.preventDefault();
          if (typed === dag.dag_id) remove.mutate(undefined, { onSuccess: () => void navigate(paths.dags()) });
        }}
      >
        <Text size="sm" mb="sm">
          {strings.dag.removeText(runs)}
        </Text>
        <TextInput
          label={strings.dag.typeName}
          placeholder={dag.dag_id}
          value={typed}
          onChange={({ currentTarget: { value } }) => setTyped(value)}
          autoComplete="off"
          data-autofocus
        />
        {remove.isError && (
          <Group mt="sm">
            <Notice error>{messageOf(remove.error)}</Notice>
          </Group>
        )}
      </form>
    </Sheet>
  );
}
