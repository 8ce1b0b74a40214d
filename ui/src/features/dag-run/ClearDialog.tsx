import { Button, Checkbox, Group, List, Modal, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { messageOf } from "../../api/errors";
import { clearPreview, useClear, type ClearRequest } from "../../api/mutations";
import { strings } from "../../lib/strings";
import { Notice } from "../../ui/Notice";

/** One task, or with null everything in the run that failed. */
export type ClearTarget = Pick<ClearRequest, "dagId" | "runId" | "task">;

/** Shows what would run again before anything does; the button says how many tasks it is about. */
export function ClearDialog({ target, onClose }: { target: ClearTarget | null; onClose: () => void }) {
  const title = target?.task == null ? strings.clear.titleFailed : strings.clear.title(target.task.taskId);
  return (
    <Modal.Root opened={target !== null} onClose={onClose} transitionProps={{ duration: 0 }}>
      <Modal.Overlay />
      <Modal.Content>
        {/* No Modal.Header: its <header> would be a second banner of the page. */}
        <Modal.Body pt="md">
          <Modal.Title mb="sm">{title}</Modal.Title>
          {target !== null && <Body target={target} onClose={onClose} />}
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

function Body({ target, onClose }: { target: ClearTarget; onClose: () => void }) {
  const [includeDownstream, setDownstream] = useState(true);
  // "Only failed" with its downstream would hide what waits behind the failure: those tasks failed upstream, and count.
  const request: ClearRequest = {
    ...target,
    onlyFailed: target.task === null,
    includeDownstream: target.task !== null && includeDownstream,
  };
  const preview = useQuery(clearPreview(request));
  const clear = useClear();
  const affected = preview.data?.task_instances ?? [];
  return (
    <Stack gap="sm">
      <Text size="sm">{strings.clear.explain}</Text>
      {target.task !== null && (
        <Checkbox
          label={strings.clear.downstream}
          checked={includeDownstream}
          onChange={(event) => setDownstream(event.currentTarget.checked)}
        />
      )}
      {(clear.error ?? preview.error) !== null && <Notice error>{messageOf(clear.error ?? preview.error)}</Notice>}
      {preview.isPending && <Text size="sm">{strings.app.loading}</Text>}
      {preview.isSuccess && affected.length === 0 && <Text size="sm">{strings.clear.nothing}</Text>}
      {affected.length > 0 && (
        <List aria-label={strings.clear.preview} size="sm" mah={240} tabIndex={0} style={{ overflow: "auto" }}>
          {affected.map((task) => {
            const index = "map_index" in task ? task.map_index : -1;
            return (
              <List.Item key={`${task.task_id} ${index}`}>
                {index < 0 ? task.task_display_name : strings.tasks.mapped(task.task_display_name, index)}
              </List.Item>
            );
          })}
        </List>
      )}
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose}>
          {strings.clear.cancel}
        </Button>
        <Button
          disabled={affected.length === 0}
          loading={clear.isPending}
          onClick={() => clear.mutate(request, { onSuccess: onClose })}
        >
          {strings.clear.submit(preview.data?.total_entries ?? affected.length)}
        </Button>
      </Group>
    </Stack>
  );
}
