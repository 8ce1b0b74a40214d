import type { Executor } from "../../api/queries/admin";
import { strings } from "../../lib/strings";
import { Icon, type IconName } from "../../ui/icons";
import classes from "./admin.module.css";

const ICONS: Record<Executor["state"], IconName> = {
  active: "check",
  draining: "pause",
  lost: "warning",
  offline: "stop",
};

/** A healthy node is quiet. */
export const NodeState = ({ state }: { state: Executor["state"] }) => (
  <span className={classes.nodeState} data-state={state}>
    <Icon name={ICONS[state]} size={14} />
    {strings.admin.nodes.states[state]}
  </span>
);
