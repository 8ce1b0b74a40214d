/** Asks before something that cannot be undone. `verb` says it with its object and number ("Delete 3 runs"); never just "OK". */
import { Button, Group, Modal, Text } from "@mantine/core";
import type { ReactNode } from "react";

import { strings } from "../lib/strings";

interface Props {
  opened: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
  verb: string;
  onConfirm: () => void;
  busy?: boolean;
  error?: string | null;
  danger?: boolean;
}

export function Confirm({
  opened,
  onClose,
  title,
  children,
  verb,
  onConfirm,
  busy = false,
  error,
  danger = true,
}: Props) {
  return (
    <Modal.Root opened={opened} onClose={onClose} transitionProps={{ duration: 0 }} centered>
      <Modal.Overlay backgroundOpacity={0.25} />
      <Modal.Content>
        {/* No Modal.Header: its <header> would be a second banner of the page. */}
        <Modal.Body p="md">
          <Modal.Title fw={600} mb="xs" style={{ overflowWrap: "anywhere" }}>
            {title}
          </Modal.Title>
          {children}
          {error != null && (
            <Text role="alert" c="var(--state-bad)" mt="sm">
              {error}
            </Text>
          )}
          <Group justify="flex-end" mt="md">
            <Button variant="default" onClick={onClose} data-autofocus>
              {strings.app.cancel}
            </Button>
            <Button {...(danger ? { color: "red" } : {})} loading={busy} onClick={onConfirm}>
              {verb}
            </Button>
          </Group>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}
