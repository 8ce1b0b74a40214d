import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { tryFactsQuery, whyQuery } from "../../api/queries";
import { isUsual, type DrawnNode } from "../../lib/graph/model";
import { countsOf, type TaskState, type TaskStates } from "../../lib/graph/states";
import { reasonText } from "../../lib/reasons";
import { LOOKS, stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { duration } from "../../lib/time";
import classes from "../../parts/graph/graph.module.css";
import { paths } from "../../paths";
import { useNow } from "../../ui/now";
import { Icon } from "../../ui/icons";
import { StateMark } from "../../ui/StateMark";

interface Props {
  node: DrawnNode;
  states: TaskStates;
  dagId: string;
  runId: string | null;
  /** The tasks whose reasons are asked for. */
  asked: ReadonlySet<string>;
  onToggle: () => void;
}

/** What is in a box of the graph: a task, a folded group or an open one. */
export function Box({ node, states, dagId, runId, asked, onToggle }: Props) {
  if (node.kind !== "task") return <Group node={node} states={states} onToggle={onToggle} />;
  const state = states.get(node.id);
  const { label, operator } = { label: node.label, operator: node.node.operator };
  const inside = (
    <>
      {state !== undefined && <StateMark state={state.state} size={20} />}
      <span className={classes.words}>
        <span className={classes.name}>{label}</span>
        <Detail node={node} state={state} />
        {state !== undefined && runId !== null && (
          <Reason dagId={dagId} runId={runId} taskId={node.id} state={state} ask={asked.has(node.id)} />
        )}
        {state === undefined && !isUsual(node.node.trigger_rule) && (
          <span className={classes.detail}>{ruleText(node.node.trigger_rule)}</span>
        )}
      </span>
    </>
  );
  const shared = {
    className: `${classes.task} nopan`,
    title: [node.id, operator ?? ""].filter((part) => part !== "").join("\n"),
    "data-family": state === undefined ? undefined : LOOKS[stateWord(state.state)].family,
    "data-mapped": node.node.is_mapped || undefined,
    "data-operator": operator === "EmptyOperator" ? "empty" : undefined,
  };
  if (runId === null || state === undefined) return <div {...shared}>{inside}</div>;
  const address = { dagId, runId, taskId: node.id, mapIndex: -1 };
  return (
    <Link
      {...shared}
      to={paths.task(address, state.counts === null ? "log" : "mapped")}
      aria-label={`${node.id}: ${strings.states[stateWord(state.state)]}`}
    >
      {inside}
    </Link>
  );
}

const ruleText = (rule: string | null) => (rule === null ? "" : (strings.graph.rules[rule] ?? rule));

/** Operator, duration, try; or how the instances of a mapped task are. */
function Detail({ node, state }: { node: DrawnNode; state: TaskState | undefined }) {
  const spent = useNow((now) =>
    state === undefined || state.start === null ? null : duration(((state.end ?? now) - state.start) / 1000),
  );
  const parts: string[] = [];
  if (state?.counts != null) {
    const total = Object.values(state.counts).reduce((sum, n) => sum + n, 0);
    parts.push(strings.graph.instances(total));
  } else {
    if (node.node.operator !== null) parts.push(node.node.operator.replace(/Operator$/, ""));
    if (node.node.is_setup === true) parts.push(strings.graph.setup);
    if (node.node.is_teardown === true) parts.push(strings.graph.teardown);
  }
  if (spent !== null) parts.push(spent);
  if (state !== undefined && state.try > 1) parts.push(strings.graph.tryNumber(state.try));
  return (
    <>
      <span className={classes.detail}>{parts.join(" · ")}</span>
      {state?.counts != null && <Counts counts={Object.entries(state.counts)} />}
    </>
  );
}

/** Counts by state: mark and number, said in words too. */
function Counts({ counts }: { counts: [state: string, n: number][] }) {
  return (
    <span className={`${classes.detail} ${classes.counts}`}>
      {counts.map(([state, n]) => (
        <span key={state} title={strings.states[stateWord(state)]}>
          <StateMark state={state} size={12} />
          {n}
          <span className="sr-only">{strings.states[stateWord(state)]}</span>
        </span>
      ))}
    </span>
  );
}

/** Why it waits, or why it failed: one line of it, all of it in the title. */
function Reason(props: { dagId: string; runId: string; taskId: string; state: TaskState; ask: boolean }) {
  const { dagId, runId, taskId, state, ask } = props;
  const task = { dagId, runId, taskId, mapIndex: -1 };
  const hasFailed = state.state === "failed" && state.counts === null;
  const why = useQuery({ ...whyQuery(task, state.state), enabled: ask });
  const facts = useQuery({ ...tryFactsQuery(task, state.state), enabled: hasFailed });
  const text = hasFailed
    ? (facts.data?.tries.findLast((one) => one.failure_reason !== null)?.failure_reason ?? null)
    : ask && why.data?.reasons[0] !== undefined
      ? reasonText(why.data.reasons[0])
      : null;
  if (text === null) return null;
  return (
    <span className={`${classes.detail} ${classes.reason}`} title={text}>
      {text}
    </span>
  );
}

function Group({ node, states, onToggle }: Pick<Props, "node" | "states" | "onToggle">) {
  const counts = countsOf(node.tasks, states);
  const total = counts.reduce((sum, [, n]) => sum + n, 0);
  const worst = counts[0]?.[0];
  const isFolded = node.kind === "folded";
  const head = (
    <button
      type="button"
      className={`${classes.toggle} nopan`}
      aria-expanded={!isFolded}
      aria-label={isFolded ? strings.graph.unfold(node.id) : strings.graph.fold(node.id)}
      onClick={onToggle}
    >
      <Icon name={isFolded ? "right" : "down"} size={14} />
      <span className={classes.name} title={node.id}>
        {node.label}
      </span>
      <span className={classes.count}>{strings.graph.tasks(node.tasks.length)}</span>
    </button>
  );
  if (!isFolded) return <div className={classes.open}>{head}</div>;
  return (
    <div className={classes.folded} data-family={worst === undefined ? undefined : LOOKS[stateWord(worst)].family}>
      {head}
      <Counts counts={counts} />
      {total > 0 && (
        <span className={classes.bar} aria-hidden="true">
          {counts.map(([state, n]) => (
            <span key={state} data-family={LOOKS[stateWord(state)].family} style={{ flexGrow: n }} />
          ))}
        </span>
      )}
    </div>
  );
}
