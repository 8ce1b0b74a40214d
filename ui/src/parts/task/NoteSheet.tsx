import { Button, Textarea } from "@mantine/core";
import { useState } from "react";

import { messageOf } from "../../api/errors";
import { strings } from "../../lib/strings";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import type { Permission } from "../../api/queries/me";
import { CanButton } from "../Can";

interface Props {
  note: string | null;
  needs: Permission;
  isPending: boolean;
  error: unknown;
  onSave: (note: string) => void;
  onClose: () => void;
}

/** What people write about a run or a task instance. */
export function NoteSheet({ note, needs, isPending, error, onSave, onClose }: Props) {
  const [text, setText] = useState(note ?? "");
  return (
    <Sheet
      opened
      onClose={onClose}
      title={note === null ? strings.run.addNote : strings.run.editNote}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton needs={needs} loading={isPending} onClick={() => onSave(text)}>
            {strings.run.save}
          </CanButton>
        </>
      }
    >
      {error !== null && <Notice error>{messageOf(error)}</Notice>}
      <Textarea
        label={strings.run.note}
        description={strings.run.noteHint}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        autosize
        minRows={4}
        maxRows={16}
        maxLength={1_000}
        data-autofocus
      />
    </Sheet>
  );
}
