/** Ctrl-K: go to a DAG, run, task, asset or page, or do something. Everything by keyboard; the list follows while one types. */
import { Modal, VisuallyHidden } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useRef, useState, useSyncExternalStore, type KeyboardEvent, type ReactNode } from "react";
import { useNavigate } from "react-router";

import { useSetPausedOf } from "../../api/mutations/dags";
import { searchQuery, type Found } from "../../api/queries/search";
import { messageOf } from "../../api/errors";
import { paletteActions } from "../../lib/actions";
import { fuzzy } from "../../lib/fuzzy";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { useCan } from "../../parts/Can";
import { paths } from "../../paths";
import { Icon } from "../../ui/icons";
import { StateMark } from "../../ui/StateMark";
import { Time } from "../../ui/Time";
import { toast } from "../../ui/toasts";
import { ADMIN, MAIN, nameOf } from "./pages";
import classes from "./palette.module.css";
import { recent } from "./recent";

type Group = keyof typeof strings.frame.groups;

interface Item {
  key: string;
  group: Group;
  label: string;
  detail?: ReactNode;
  icon: ReactNode;
  to?: string;
  run?: () => void;
  reason?: string | null;
}

/** "trigger payments", "暂停 x": what to do with the DAGs that are found. */
const VERBS: { verb: "trigger" | "pause" | "unpause"; words: RegExp }[] = [
  { verb: "trigger", words: /^(?:trigger|run|触发)\s+/i },
  { verb: "unpause", words: /^(?:unpause|resume|activate|启用)\s+/i },
  { verb: "pause", words: /^(?:pause|暂停)\s+/i },
];

export function parseQuery(text: string) {
  const typed = text.trim();
  for (const { verb, words } of VERBS) {
    const match = words.exec(typed);
    if (match !== null) return { verb, q: typed.slice(match[0].length) };
  }
  return { verb: null, q: typed };
}

export function Palette({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  return (
    <Modal.Root opened={opened} onClose={onClose} size={640} yOffset="10vh" transitionProps={{ duration: 0 }}>
      <Modal.Overlay backgroundOpacity={0.3} />
      <Modal.Content aria-label={strings.frame.openPalette}>
        <Modal.Body p={0}>{opened && <Search onClose={onClose} />}</Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

function Search({ onClose }: { onClose: () => void }) {
  const id = useId();
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const navigate = useNavigate();
  const { verb, q } = parseQuery(text);
  const [asked] = useDebouncedValue(q, 100);
  const { data, error } = useQuery(searchQuery(asked));
  const items = useItems(q, verb, asked === "" || q === "" ? undefined : data);
  const at = Math.min(active, items.length - 1);

  useEffect(() => {
    list.current?.querySelector(`[data-index="${at}"]`)?.scrollIntoView({ block: "nearest" });
  }, [at]);

  const choose = (item: Item | undefined) => {
    if (item === undefined || item.reason != null) return;
    onClose();
    if (item.to !== undefined) void navigate(item.to);
    else item.run?.();
  };
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setActive(Math.max(0, Math.min(items.length - 1, at + step)));
    } else if (event.key === "Enter" && !event.nativeEvent.isComposing) {
      event.preventDefault();
      choose(items[at]);
    }
  };
  const words = strings.frame;
  return (
    <div className={classes.palette}>
      <div className={classes.field}>
        <Icon name="search" />
        <input
          data-autofocus
          role="combobox"
          aria-expanded
          aria-controls={`${id}-list`}
          aria-activedescendant={items.length > 0 ? `${id}-${at}` : undefined}
          aria-label={words.paletteLabel}
          aria-autocomplete="list"
          placeholder={words.paletteHint}
          autoComplete="off"
          spellCheck={false}
          value={text}
          onChange={(event) => {
            setText(event.currentTarget.value);
            setActive(0);
          }}
          onKeyDown={press}
        />
      </div>
      <div ref={list} id={`${id}-list`} role="listbox" aria-label={words.paletteLabel} className={classes.list}>
        {items.map((item, index) => (
          <Option
            key={item.key}
            id={`${id}-${index}`}
            item={item}
            index={index}
            isFirst={items[index - 1]?.group !== item.group}
            isActive={index === at}
            onPoint={() => setActive(index)}
            onChoose={() => choose(item)}
          />
        ))}
      </div>
      <VisuallyHidden role="status">{items.length === 0 ? words.paletteNothing : ""}</VisuallyHidden>
      {items.length === 0 && q !== "" && asked === q && (
        <p className={classes.nothing}>{error === null ? words.paletteNothing : words.paletteError}</p>
      )}
    </div>
  );
}

interface OptionProps {
  id: string;
  item: Item;
  index: number;
  isFirst: boolean;
  isActive: boolean;
  onPoint: () => void;
  onChoose: () => void;
}

function Option({ id, item, index, isFirst, isActive, onPoint, onChoose }: OptionProps) {
  return (
    <>
      {isFirst && (
        <div className={classes.group} role="presentation">
          {strings.frame.groups[item.group]}
        </div>
      )}
      {/* The keyboard is the field's: it moves the active option and chooses it. */}
      {/* oxlint-disable-next-line jsx-a11y/click-events-have-key-events */}
      <div
        id={id}
        role="option"
        tabIndex={-1}
        aria-selected={isActive}
        aria-disabled={item.reason != null || undefined}
        data-index={index}
        className={classes.option}
        onMouseMove={onPoint}
        onClick={onChoose}
      >
        {item.icon}
        <span className={classes.text}>{item.label}</span>
        <span className={classes.detail}>{item.reason ?? item.detail}</span>
      </div>
    </>
  );
}

function useItems(q: string, verb: "trigger" | "pause" | "unpause" | null, found: Found | undefined): Item[] {
  const registered = useSyncExternalStore(paletteActions.subscribe, paletteActions.all);
  const cannotTrigger = useCan("Write:DagRun");
  const cannotPause = useCan("Write:Dag");
  const setPaused = useSetPausedOf();
  const words = strings.frame;

  // The palette is closed by then: what comes of it is said by a toast.
  const pause = (dagId: string, paused: boolean) => () =>
    void setPaused.mutateAsync({ dagId, paused }).then(
      () => toast({ text: paused ? words.paused(dagId) : words.unpaused(dagId) }),
      (error: unknown) => toast({ text: messageOf(error), error: true }),
    );
  const act = ({ dag_id, is_paused }: Found["dags"][number], what: "trigger" | "pause" | "unpause"): Item =>
    what === "trigger"
      ? {
          key: `trigger ${dag_id}`,
          group: "actions",
          label: words.triggerDag(dag_id),
          icon: <Icon name="play" />,
          to: paths.trigger(dag_id),
          reason: cannotTrigger,
        }
      : {
          key: `${what} ${dag_id}`,
          group: "actions",
          label: is_paused ? words.unpauseDag(dag_id) : words.pauseDag(dag_id),
          icon: <Icon name={is_paused ? "play" : "pause"} />,
          run: pause(dag_id, !is_paused),
          reason: cannotPause,
        };

  const here = registered.map((action): Item & { score: number | null } => ({
    key: `here ${action.id}`,
    group: "here",
    label: action.label,
    icon: <Icon name={action.icon ?? "right"} />,
    ...(action.to === undefined ? {} : { to: action.to }),
    ...(action.run === undefined ? {} : { run: action.run }),
    reason: action.reason ?? null,
    score: q === "" ? 0 : fuzzy(q, `${action.label} ${action.keywords ?? ""}`),
  }));
  const pages = [...MAIN, ...ADMIN].map((page): Item & { score: number | null } => ({
    key: `page ${page.id}`,
    group: "pages",
    label: nameOf(page),
    icon: <Icon name={page.icon} />,
    to: page.to,
    detail: page.key === undefined ? null : <kbd>g {page.key}</kbd>,
    // Found by its address too, whatever the language.
    score: q === "" ? 0 : fuzzy(q, `${nameOf(page)} ${page.to}`),
  }));
  const fitting = (list: (Item & { score: number | null })[]) =>
    list.filter(({ score }) => score !== null).toSorted((a, b) => (b.score ?? 0) - (a.score ?? 0));

  if (q === "") {
    const seen = recent().map(({ to, dagId, runId }): Item => ({
      key: `recent ${to}`,
      group: "recent",
      label: runId === null ? dagId : `${dagId} › ${runId}`,
      icon: <Icon name={runId === null ? "dags" : "runs"} />,
      to,
    }));
    return [...here, ...seen, ...pages];
  }
  if (verb !== null) {
    const dags = (found?.dags ?? []).filter(
      ({ is_paused }) => verb === "trigger" || is_paused === (verb === "unpause"),
    );
    return dags.map((dag) => act(dag, verb));
  }
  const dags = (found?.dags ?? []).map((dag): Item => ({
    key: `dag ${dag.dag_id}`,
    group: "dags",
    label: dag.dag_display_name,
    icon: <Icon name="dags" />,
    to: paths.dag(dag.dag_id),
    detail: dag.is_paused ? strings.dags.paused : null,
  }));
  const tasks = (found?.tasks ?? []).map(({ dag_id, task_id }): Item => ({
    key: `task ${dag_id} ${task_id}`,
    group: "tasks",
    label: `${dag_id}:${task_id}`,
    icon: <Icon name="log" />,
    to: paths.dag(dag_id, "grid", { task_id }),
  }));
  const runs = (found?.runs ?? []).map(({ dag_id, dag_run_id, state, run_after }): Item => ({
    key: `run ${dag_id} ${dag_run_id}`,
    group: "runs",
    label: `${dag_id} › ${dag_run_id}`,
    icon: <StateMark state={state} size={16} />,
    to: paths.run(dag_id, dag_run_id),
    detail: (
      <>
        {strings.states[stateWord(state)]} · <Time at={run_after} short />
      </>
    ),
  }));
  const assets = (found?.assets ?? []).map(({ id, name, uri }): Item => ({
    key: `asset ${id}`,
    group: "assets",
    label: name,
    icon: <Icon name="assets" />,
    to: paths.asset(id),
    detail: uri === name ? null : uri,
  }));
  const actions = (found?.dags ?? []).slice(0, 2).flatMap((dag) => [act(dag, "trigger"), act(dag, "pause")]);
  const [few, many] = [fitting(here), fitting(pages)];
  return [...few.slice(0, 5), ...dags, ...many.slice(0, 4), ...tasks, ...runs, ...assets, ...actions];
}
