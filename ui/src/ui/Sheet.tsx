/**
 * A form or details at the right edge, over the page it belongs to; the whole width on a phone. `footer` sticks to the bottom and
 * holds the verb ("Clear 4 tasks") and Cancel. Closes with Escape; the caller keeps "open" in the address when it can be linked to.
 */
import { Drawer } from "@mantine/core";
import type { ReactNode } from "react";

import { strings } from "../lib/strings";
import { Icon } from "./icons";
import classes from "./sheet.module.css";

interface Props {
  opened: boolean;
  onClose: () => void;
  title: ReactNode;
  /** Pixels. */
  width?: number;
  footer?: ReactNode;
  children: ReactNode;
}

export function Sheet({ opened, onClose, title, width = 560, footer, children }: Props) {
  return (
    <Drawer.Root
      opened={opened}
      onClose={onClose}
      position="right"
      size={`min(${width}px, 100vw)`}
      transitionProps={{ duration: 100 }}
    >
      <Drawer.Overlay backgroundOpacity={0.25} />
      <Drawer.Content classNames={{ content: classes.content }}>
        {/* No Drawer.Header: its <header> would be a second banner of the page. */}
        <div className={classes.head}>
          <Drawer.Title className={classes.title}>{title}</Drawer.Title>
          <Drawer.CloseButton aria-label={strings.app.close} icon={<Icon name="close" />} />
        </div>
        <Drawer.Body className={classes.body}>{children}</Drawer.Body>
        {footer !== undefined && <div className={classes.foot}>{footer}</div>}
      </Drawer.Content>
    </Drawer.Root>
  );
}
