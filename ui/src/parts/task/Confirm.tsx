import { Button, Text } from "@mantine/core";
import type { ReactNode } from "react";

import { messageOf } from "../../api/errors";
import type { Permission } from "../../api/queries/me";
import { strings } from "../../lib/strings";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import { CanButton } from "../Can";

interface Props {
  title: string;
  text: ReactNode;
  submit: string;
  needs: Permission;
  danger?: boolean;
  isPending: boolean;
  error: unknown;
  onSubmit: () => void;
  onClose: () => void;
  children?: ReactNode;
}

/** Asks once more before something that is not undone by a click. The button says what it does. */
export function Confirm({
  title,
  text,
  submit,
  needs,
  danger = false,
  isPending,
  error,
  onSubmit,
  onClose,
  children,
}: Props) {
  return (
    <Sheet
      opened
      onClose={onClose}
      title={title}
      width={460}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton needs={needs} loading={isPending} onClick={onSubmit} {...(danger ? { color: "red.8" } : {})}>
            {submit}
          </CanButton>
        </>
      }
    >
      {error !== null && <Notice error>{messageOf(error)}</Notice>}
      <Text>{text}</Text>
      {children}
    </Sheet>
  );
}
