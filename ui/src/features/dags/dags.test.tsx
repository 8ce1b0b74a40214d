import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { describe, expect, it } from "vitest";

import { listedDag, listedRun } from "../../testing/fixtures";
import { sent, world } from "../../testing/handlers";
import { expectAccessible, open } from "../../testing/render";
import { server } from "../../testing/server";
import { filterOf, parseTyped, searchOf, typedOf } from "./filter";

const row = async (name: string) => {
  const found = (await screen.findByRole("link", { name })).closest<HTMLElement>('[role="row"]');
  if (found === null) throw new Error(`${name} is not in a table`);
  return within(found);
};

describe("the list of DAGs", () => {
  it("says of each DAG its schedule, last runs, and what is wrong with it", async () => {
    world.listed = [
      listedDag("payments", {
        runs: [listedRun("r1"), listedRun("r2", { state: "failed" })],
        success_rate: 0.5,
        why: { kind: "failure", text: "503 from ledger", reason: null, dag_run_id: "r2", task_id: "reconcile" },
      }),
      listedDag("flawed", { runs: [listedRun("r3", { failed_tasks: 2 })] }),
      listedDag("fresh", { timetable_summary: null, is_paused: true }),
    ];
    const { container } = open("/dags");

    const payments = await row("payments");
    expect(payments.getByText("At 06:00")).toBeTruthy();
    expect(payments.getByText("50 %")).toBeTruthy();
    expect(payments.getByRole("link", { name: /^r2: failed/ }).getAttribute("href")).toBe("/dags/payments/runs/r2");
    const why = payments.getByRole("link", { name: "The last run failed: reconcile: 503 from ledger" });
    expect(why.getAttribute("href")).toBe("/dags/payments/runs/r2/tasks/reconcile");

    expect((await row("flawed")).getByRole("link", { name: /^r3: success over 2 failed tasks/ })).toBeTruthy();
    const fresh = await row("fresh");
    for (const text of ["never ran", "only when triggered", "paused"]) expect(fresh.getByText(text)).toBeTruthy();
    await expectAccessible(container);
  });

  it("pauses a DAG", async () => {
    world.listed = [listedDag("example")];
    const { user } = open("/dags");
    const active = await screen.findByRole("switch", { name: "example is active" });
    expect(active).toHaveProperty("checked", true);
    await user.click(active);
    await waitFor(() => expect(screen.getByRole("switch")).toHaveProperty("checked", false));
    expect(sent).toEqual([{ method: "PATCH", path: "/api/v2/dags/example", body: { is_paused: true } }]);
    expect(await screen.findByText("paused")).toBeTruthy();
  });

  it("shows a viewer what they may not do, and says why", async () => {
    world.me = { username: "v", role: "viewer", permissions: ["Read:Dag"] };
    world.listed = [listedDag("example")];
    const { user } = open("/dags");
    const trigger = await screen.findByRole("button", { name: "Trigger example" });
    expect(trigger.getAttribute("aria-disabled")).toBe("true");
    await user.hover(trigger);
    expect(await screen.findByText("Your role lacks the permission Write:DagRun.")).toBeTruthy();
  });

  it("does one thing with many", async () => {
    world.listed = [listedDag("a"), listedDag("b"), listedDag("c")];
    const { user } = open("/dags");
    await user.click(await screen.findByRole("checkbox", { name: "Select a" }));
    await user.click(screen.getByRole("checkbox", { name: "Select c" }));
    await user.click(screen.getByRole("button", { name: "Pause 2" }));
    expect(await screen.findByText("Paused 2 DAGs.")).toBeTruthy();
    expect(sent.map(({ path }) => path).toSorted()).toEqual(["/api/v2/dags/a", "/api/v2/dags/c"]);
    expect(screen.queryByText(/selected/)).toBeNull();
  });

  it("keeps what is searched for in the address", async () => {
    world.listed = [listedDag("alpha", { tags: ["x"] }), listedDag("beta"), listedDag("bet")];
    const { user, here } = open("/dags");
    await screen.findByRole("link", { name: "alpha" });
    await user.type(screen.getByRole("searchbox", { name: "Search DAGs" }), "bet");
    await waitFor(() => expect(screen.queryByRole("link", { name: "alpha" })).toBeNull());
    expect(here()).toBe("/dags?q=bet");
    expect(screen.getByText("2 of 3")).toBeTruthy();
  });

  it("reads the rows that come into sight, and no others", async () => {
    world.listed = Array.from({ length: 500 }, (_, n) => listedDag(`d${String(n).padStart(3, "0")}`));
    const asked: string[] = [];
    server.events.on("request:start", ({ request }) => {
      if (request.url.includes("/ui/dags")) asked.push(new URL(request.url).searchParams.get("offset") ?? "");
    });
    open("/dags");
    await screen.findByRole("link", { name: "d000" });
    expect(screen.getByRole("table").getAttribute("aria-rowcount")).toBe("501");
    expect(screen.queryByRole("link", { name: "d100" })).toBeNull();
    expect([...new Set(asked)]).toEqual(["0"]);
    server.events.removeAllListeners();
  });

  it("says what to do when there is no DAG, and when none is like that", async () => {
    const { user } = open("/dags?q=x");
    await user.click(await screen.findByRole("button", { name: "Show all DAGs" }));
    expect(await screen.findByText(/Put a YAML file into the DAGs folder/)).toBeTruthy();
  });

  it("shows the server's words and a way on when it cannot be had", async () => {
    server.use(http.get("*/ui/dags", () => HttpResponse.json({ detail: "lookup id 7f" }, { status: 500 })));
    const { user } = open("/dags");
    expect(await screen.findByText("lookup id 7f")).toBeTruthy();
    server.resetHandlers();
    await user.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByText(/Put a YAML file/)).toBeTruthy();
  });
});

describe("filters", () => {
  it("are typed as words", () => {
    expect(parseTyped("pay  roll tag:finance owner:li")).toEqual({ q: "pay roll", tags: ["finance"], owners: ["li"] });
    expect(parseTyped('tag:"two words" tag: x')).toEqual({ q: "x", tags: ["two words"], owners: [] });
    expect(typedOf({ q: "a", tags: ["b c"], owners: ["d"] })).toBe('a tag:"b c" owner:d');
  });

  it("come back out of the address", () => {
    const text = "q=a&tag=x&tag=y&owner=z&state=failed&paused=false&favorite=true&order=-name";
    expect(searchOf(filterOf(new URLSearchParams(text))).toString()).toBe(text);
    expect(searchOf(filterOf(new URLSearchParams("state=flying&order=up"))).toString()).toBe("");
  });
});
