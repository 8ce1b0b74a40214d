import { Table } from "@mantine/core";
import type { ReactNode } from "react";

import classes from "./table.module.css";

/** A table that scrolls sideways inside its own box, also by keyboard, when the window is narrow. */
export function ScrollTable({ label, head, children }: { label: string; head: string[]; children: ReactNode }) {
  return (
    // A scrolling region has to be reachable by keyboard (axe: scrollable-region-focusable).
    <div className={classes.scroll} role="region" aria-label={label} tabIndex={0}>
      <Table className={classes.table} verticalSpacing={6} aria-label={label}>
        <Table.Thead>
          <Table.Tr>
            {head.map((name) => (
              <Table.Th key={name} scope="col">
                {name}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>{children}</Table.Tbody>
      </Table>
    </div>
  );
}
