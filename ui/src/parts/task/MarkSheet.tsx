import { Button, Stack } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { messageOf } from "../../api/errors";
import { mark, useMarkTasks, type MarkState, type Marking, type TaskRef } from "../../api/mutations/tasks";
import { strings } from "../../lib/strings";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import { CanButton } from "../Can";
import { Preview, ReasonField, Segments } from "./Preview";

export interface MarkTarget {
  dagId: string;
  runId: string;
  task: TaskRef;
  name: string;
  state: MarkState;
  hasLogicalDate: boolean;
}

/** Shows which task instances a mark would change before it does. */
export function MarkSheet({ target, onClose }: { target: MarkTarget | null; onClose: () => void }) {
  return target === null ? null : <Open key={JSON.stringify(target)} target={target} onClose={onClose} />;
}

function Open({ target, onClose }: { target: MarkTarget; onClose: () => void }) {
  const [reach, setReach] = useState({ past: false, future: false, upstream: false, downstream: false });
  const [note, setNote] = useState("");
  const { dagId, runId, task, state } = target;
  const what: Marking = { dagId, runId, task, state, ...reach, note: null };
  const preview = useQuery({
    queryKey: ["markPreview", what],
    queryFn: ({ signal }) => mark(what, true, signal),
    placeholderData: keepPreviousData,
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });
  const mutation = useMarkTasks();
  const n = preview.data?.length ?? 0;
  const word = strings.states[state];
  const noDate = target.hasLogicalDate ? null : strings.clear.noDate;
  return (
    <Sheet
      opened
      onClose={onClose}
      title={strings.clear.markTitle(target.name, word)}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton
            needs="Write:TaskInstance"
            reason={n === 0 ? strings.clear.nothingToMark : null}
            loading={mutation.isPending || preview.isPlaceholderData}
            onClick={() => mutation.mutate({ ...what, note }, { onSuccess: onClose })}
          >
            {strings.clear.submitMark(n, word)}
          </CanButton>
        </>
      }
    >
      <Stack gap="md">
        <Segments
          options={[
            { key: "past", label: strings.clear.past, reason: noDate },
            { key: "future", label: strings.clear.future, reason: noDate },
            { key: "upstream", label: strings.clear.upstream },
            { key: "downstream", label: strings.clear.downstream },
          ]}
          value={reach}
          onChange={(key, on) => setReach({ ...reach, [key]: on })}
        />
        {(mutation.error ?? preview.error) !== null && (
          <Notice error>{messageOf(mutation.error ?? preview.error)}</Notice>
        )}
        {preview.error === null && (
          <Preview
            label={strings.clear.previewMark(word)}
            nothing={strings.clear.nothingToMark}
            tasks={preview.data}
            left={null}
            onLeft={() => undefined}
          />
        )}
        <ReasonField value={note} onChange={setNote} />
      </Stack>
    </Sheet>
  );
}
