import { Popover, UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { scheduleQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Time } from "../../ui/Time";
import classes from "./dag.module.css";

/** So many are listed; the tab of details has more. */
const LISTED = 3;

/** When the DAG runs next, and behind it the times after that. */
export function NextRuns({ dagId, next }: { dagId: string; next: string | null }) {
  const [isOpen, setOpen] = useState(false);
  const { data } = useQuery({ ...scheduleQuery(dagId, next), enabled: isOpen && next !== null });
  if (next === null) return <span className={classes.muted}>{strings.app.none}</span>;
  const times = data?.next.map(({ run_after }) => run_after).slice(0, LISTED) ?? [];
  return (
    <Popover opened={isOpen} onChange={setOpen} position="bottom-start" withinPortal transitionProps={{ duration: 0 }}>
      <Popover.Target>
        <UnstyledButton className={classes.next} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          <Time at={next} />
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown>
        <ol className={classes.times}>
          {(times.length > 0 ? times : [next]).map((at) => (
            <li key={at}>
              <Time at={at} />
            </li>
          ))}
        </ol>
        <Link to={paths.dag(dagId, "details")} className={classes.all}>
          {strings.dag.tab.details}
        </Link>
      </Popover.Dropdown>
    </Popover>
  );
}
