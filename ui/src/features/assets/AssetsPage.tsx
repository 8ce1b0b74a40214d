import { Anchor, Group, SegmentedControl, Table, Text, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";

import { ASSETS_PER_PAGE, assetsQuery, type Asset } from "../../api/queries";
import { strings } from "../../lib/strings";
import { Panel } from "../../parts/Panel";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { PageHead } from "../../ui/Page";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { Time } from "../../ui/Time";
import { AssetActions } from "./AssetActions";
import { AssetGraph } from "./AssetGraph";
import classes from "./assets.module.css";
import { GRAPH_ASSETS } from "./limits";

/** All assets: a table, or with `?view=graph` the graph of them and their DAGs. */
export function AssetsPage() {
  const words = strings.assets;
  const [search, setSearch] = useSearchParams();
  const isGraph = search.get("view") === "graph";
  const set = (key: string, value: string | null) =>
    setSearch(
      (before) => {
        if (value === null || value === "") before.delete(key);
        else before.set(key, value);
        before.delete("page");
        return before;
      },
      { replace: key === "q" },
    );
  return (
    <>
      <PageHead title={words.title}>
        <Group gap="sm" role="search">
          <SearchField initial={search.get("q") ?? ""} onSet={(q) => set("q", q)} />
          <SegmentedControl
            size="xs"
            aria-label={words.views}
            value={isGraph ? "graph" : "list"}
            onChange={(value) => set("view", value === "graph" ? "graph" : null)}
            data={[
              { value: "list", label: words.list },
              { value: "graph", label: words.graph },
            ]}
          />
        </Group>
      </PageHead>
      <Panel key={isGraph ? "graph" : "list"}>{isGraph ? <Graph /> : <List />}</Panel>
    </>
  );
}

function SearchField({ initial, onSet }: { initial: string; onSet: (q: string) => void }) {
  const [text, setText] = useState(initial);
  const apply = useDebouncedCallback((q: string) => onSet(q.trim()), 250);
  return (
    <TextInput
      size="xs"
      type="search"
      w={220}
      aria-label={strings.assets.search}
      placeholder={strings.assets.search}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        apply(event.currentTarget.value);
      }}
    />
  );
}

function Graph() {
  const [search] = useSearchParams();
  const { data } = useSuspenseQuery(assetsQuery({ q: search.get("q") ?? "", page: 1, limit: GRAPH_ASSETS }));
  if (data.assets.length === 0) return <Nothing q={search.get("q") ?? ""} />;
  return <AssetGraph assets={data.assets} />;
}

const Nothing = ({ q }: { q: string }) => (
  <EmptyState text={q === "" ? strings.assets.empty : strings.assets.noMatch(q)} />
);

function List() {
  const words = strings.assets;
  const [search] = useSearchParams();
  const q = search.get("q") ?? "";
  const page = usePage();
  const { data } = useSuspenseQuery(assetsQuery({ q, page }));
  if (data.assets.length === 0) return <Nothing q={q} />;
  return (
    <>
      <ScrollTable
        label={words.title}
        head={[words.name, words.lastEvent, words.producers, words.consumers, words.actions]}
      >
        {data.assets.map((asset) => (
          <Row key={asset.id} asset={asset} />
        ))}
      </ScrollTable>
      <Pager page={page} size={ASSETS_PER_PAGE} total={data.total_entries} />
    </>
  );
}

function Row({ asset }: { asset: Asset }) {
  const words = strings.assets;
  return (
    <Table.Tr>
      <Table.Td maw={360}>
        <Anchor component={Link} to={paths.asset(asset.id)} fw={550} className={classes.any ?? ""}>
          {asset.name}
        </Anchor>
        {asset.uri !== asset.name && (
          <Text size="xs" c="dimmed" className={classes.any ?? ""}>
            {asset.uri}
          </Text>
        )}
      </Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        {asset.last_asset_event?.timestamp == null ? (
          <Text c="dimmed">{words.never}</Text>
        ) : (
          <Time at={asset.last_asset_event.timestamp} />
        )}
      </Table.Td>
      <Table.Td maw={300}>
        <Few
          links={asset.producing_tasks.map(({ dag_id, task_id }) => ({
            key: `${dag_id} ${task_id}`,
            to: paths.dag(dag_id),
            text: `${dag_id} › ${task_id}`,
          }))}
          all={paths.asset(asset.id)}
        />
      </Table.Td>
      <Table.Td maw={300}>
        <Few
          links={asset.scheduled_dags.map(({ dag_id }) => ({ key: dag_id, to: paths.dag(dag_id), text: dag_id }))}
          all={paths.asset(asset.id)}
        />
      </Table.Td>
      <Table.Td>
        <AssetActions asset={asset} />
      </Table.Td>
    </Table.Tr>
  );
}

const FEW = 3;

/** The first of them, and how many more. */
function Few({ links, all }: { links: { key: string; to: string; text: string }[]; all: string }) {
  if (links.length === 0) return <Text c="dimmed">{strings.assets.nobody}</Text>;
  return (
    <span className={classes.few}>
      {links.slice(0, FEW).map(({ key, to, text }) => (
        <Anchor key={key} component={Link} to={to} className={classes.any ?? ""}>
          {text}
        </Anchor>
      ))}
      {links.length > FEW && (
        <Anchor component={Link} to={all} c="dimmed">
          {strings.assets.more(links.length - FEW)}
        </Anchor>
      )}
    </span>
  );
}
