import { expect, it } from "vitest";

import { byKind, causes } from "./causes";

const task = (task_id: string, state: string | null, map_index = -1) => ({ task_id, map_index, state });

it("tells what broke from what did not run because of it", () => {
  const tasks = [
    task("a", "success"),
    task("parse", "failed", 3),
    task("parse", "success", 4),
    task("parse", "failed", 5),
    task("join", "upstream_failed"),
    task("once", "failed"),
    task("later", "up_for_retry"),
  ];
  const { roots, consequences, retrying } = causes(tasks);
  expect(roots.map(({ taskId, failed, instances }) => [taskId, failed.length, instances])).toEqual([
    ["parse", 2, 3],
    ["once", 1, 1],
  ]);
  expect(consequences).toEqual(["join"]);
  expect(retrying.map((cause) => cause.taskId)).toEqual(["later"]);
});

it("takes errors that differ in what they name for one kind", () => {
  const groups = byKind(
    ["no decoder for 'a.png'", "no decoder for 'b.png'", "timeout after 30 s", "no decoder for 'c.png'"],
    (text) => text,
  );
  expect(groups.map(({ kind, things }) => [kind, things.length])).toEqual([
    ["no decoder for …", 3],
    ["timeout after # s", 1],
  ]);
});
