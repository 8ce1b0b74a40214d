import { expect, it } from "vitest";

import { compare } from "./compare";

const task = (task_id: string, hostname: string | null, duration: number | null, map_index = -1) => ({
  task_id,
  map_index,
  hostname,
  duration,
});
const good = {
  conf: { limit: 7, where: { a: 1, b: 2 }, old: true },
  dag_versions: [{ version_number: 4 }],
  tasks: [task("load", "n1", 4), task("read", "n1", 60), task("tiny", "n1", 0.1), task("part", "n1", 10, 2)],
};

it("says which version, which keys of the conf, where the broken task ran, and what took how long", () => {
  const run = {
    conf: { limit: 9, where: { b: 2, a: 1 } },
    dag_versions: [{ version_number: 4 }, { version_number: 5 }],
    tasks: [task("load", "n3", 31), task("read", "n2", 5), task("tiny", "n2", 2), task("part", "n1", 40, 2)],
  };
  const found = compare(run, good, new Set(["load"]));
  expect(found.version).toEqual({ before: 4, after: 5 });
  expect(found.conf).toEqual([
    { key: "limit", before: 7, after: 9 },
    { key: "old", before: true, after: undefined },
  ]);
  expect(found.nodes.map(({ task: { task_id }, before, after }) => [task_id, before, after])).toEqual([
    ["load", "n1", "n3"],
  ]);
  expect(found.durations.map(({ task: { task_id }, before, after }) => [task_id, before, after])).toEqual([
    ["read", 60, 5],
    ["part", 10, 40],
    ["load", 4, 31],
  ]);
});

it("finds nothing where nothing is different, or is not known", () => {
  const run = { ...good, tasks: [task("load", "", null), task("read", "n1", 64), task("new", "n9", 100)] };
  expect(compare(run, good, new Set(["load", "new"]))).toEqual({ version: null, conf: [], nodes: [], durations: [] });
});
