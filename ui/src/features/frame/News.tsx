/** What went wrong since the page was opened: failed runs, files with errors, nodes that left. From the event stream alone. */
import { Menu, Text, UnstyledButton } from "@mantine/core";
import { useEffect, useState } from "react";
import { Link } from "react-router";

import { subscribeToEvents } from "../../api/events";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Icon } from "../../ui/icons";
import { StateMark } from "../../ui/StateMark";
import { Time } from "../../ui/Time";
import classes from "./frame.module.css";

interface Item {
  key: string;
  to: string;
  at: string;
  text: string;
  detail: string;
}

const KEPT = 30;

/** What an event is to people; null: nothing to worry about. */
export function newsOf({ name, data }: { name: string; data: string }, now: number): Item | null {
  const of = JSON.parse(data) as Record<string, string | boolean | number | undefined>;
  const at = new Date(now).toISOString();
  const text = (key: string) => String(of[key] ?? "");
  if (of["deleted"] === true) return null;
  if (name === "dag_run" && of["state"] === "failed") {
    const [dag, run] = [text("dag_id"), text("dag_run_id")];
    return { key: `run ${dag} ${run}`, to: paths.run(dag, run), at, text: strings.frame.newsFailed(dag), detail: run };
  }
  if (name === "import_error") {
    const file = text("filename");
    return {
      key: `file ${file}`,
      to: paths.importErrors(),
      at,
      text: strings.frame.newsImportError(file),
      detail: text("bundle_name"),
    };
  }
  if (name === "executor" && (of["state"] === "lost" || of["state"] === "offline")) {
    const node = text("name");
    return {
      key: `node ${node}`,
      to: paths.nodes(),
      at,
      text: strings.frame.newsNode(node, text("state")),
      detail: "",
    };
  }
  return null;
}

export function News() {
  const [items, setItems] = useState<Item[]>([]);
  const [unseen, setUnseen] = useState(0);
  useEffect(
    () =>
      subscribeToEvents((event) => {
        const item = newsOf(event, Date.now());
        if (item === null) return;
        setItems((before) => [item, ...before.filter(({ key }) => key !== item.key)].slice(0, KEPT));
        setUnseen((n) => n + 1);
      }),
    [],
  );
  const words = strings.frame;
  const label = unseen === 0 ? words.news : words.newsCount(unseen);
  return (
    <Menu position="bottom-end" transitionProps={{ duration: 0 }} width={360} withinPortal onOpen={() => setUnseen(0)}>
      <Menu.Target>
        <UnstyledButton className={classes.bell} aria-label={label} title={label}>
          <Icon name="bell" />
          {unseen > 0 && (
            <span className={classes.badge} aria-hidden="true">
              {unseen > 99 ? "99+" : unseen}
            </span>
          )}
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown mah="70vh" style={{ overflow: "auto" }}>
        <Menu.Label>{words.news}</Menu.Label>
        {items.length === 0 && (
          <Text size="sm" c="dimmed" px={12} py={8}>
            {words.newsNone}
          </Text>
        )}
        {items.map((item) => (
          <Menu.Item key={item.key} component={Link} to={item.to} leftSection={<StateMark state="failed" size={16} />}>
            <Text size="sm" style={{ overflowWrap: "anywhere" }}>
              {item.text}
            </Text>
            <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
              <Time at={item.at} short /> {item.detail}
            </Text>
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item component={Link} to={paths.home()} leftSection={<Icon name="home" size={14} />}>
          {words.newsHome}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
