import { expect, it } from "vitest";

import { around, assetGraph, type AssetLike } from "./assets";

const asset = (id: number, over: Partial<AssetLike>): AssetLike => ({
  id,
  name: `s3://lake/${id}`,
  producing_tasks: [],
  consuming_tasks: [],
  scheduled_dags: [],
  ...over,
});

const assets = [
  asset(1, {
    producing_tasks: [
      { dag_id: "etl", task_id: "a" },
      { dag_id: "etl", task_id: "b" },
    ],
    scheduled_dags: [{ dag_id: "report" }],
  }),
  asset(2, {
    producing_tasks: [{ dag_id: "report", task_id: "x" }],
    consuming_tasks: [{ dag_id: "mail", task_id: "y" }],
  }),
  asset(3, { producing_tasks: [{ dag_id: "other", task_id: "z" }] }),
];

it("a DAG is one box however many of its tasks make or read", () => {
  const { nodes, edges } = assetGraph(assets, "reads");
  expect(nodes.map(({ id }) => id)).toEqual([
    "asset:1",
    "dag:etl",
    "dag:report",
    "asset:2",
    "dag:mail",
    "asset:3",
    "dag:other",
  ]);
  expect(edges.map(({ id, label }) => [id, label])).toEqual([
    ["dag:etl → asset:1", null],
    ["asset:1 → dag:report", null],
    ["dag:report → asset:2", null],
    ["asset:2 → dag:mail", "reads"],
    ["dag:other → asset:3", null],
  ]);
});

it("that a DAG waits for an asset says more than that it reads it", () => {
  const both = asset(1, { consuming_tasks: [{ dag_id: "d", task_id: "t" }], scheduled_dags: [{ dag_id: "d" }] });
  expect(assetGraph([both], "reads").edges).toMatchObject([{ label: null }]);
});

it("around one asset is what leads to it and what it leads to", () => {
  const whole = assetGraph(assets, "reads");
  expect(around(whole, "asset:1").nodes.map(({ id }) => id)).toEqual([
    "asset:1",
    "dag:etl",
    "dag:report",
    "asset:2",
    "dag:mail",
  ]);
  expect(around(whole, "asset:3").edges).toHaveLength(1);
});
