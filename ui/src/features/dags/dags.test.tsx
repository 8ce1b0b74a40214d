import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";

import { dag, importError, run } from "../../testing/fixtures";
import { expectAccessible, open } from "../../testing/render";
import { sent, world } from "../../testing/handlers";

const row = async (name: string) => {
  const cell = await screen.findByRole("link", { name });
  const found = cell.closest("tr");
  if (found === null) throw new Error(`${name} is not in a table`);
  return within(found);
};

describe("the list of DAGs", () => {
  it("shows schedule and last runs of each DAG, newest on the right, with their states in words", async () => {
    world.dags = [dag("example"), dag("fresh", { timetable_summary: null, is_paused: true })];
    world.runs = [
      run("example", "r2", { state: "running", end_date: null }),
      run("example", "r1", { state: "failed" }),
    ];
    const { container } = open("/");

    const example = await row("example");
    expect(example.getByText("0 6 * * *")).toBeTruthy();
    const marks = example.getAllByRole("link").slice(1);
    expect(marks.map((mark) => mark.getAttribute("aria-label"))).toEqual(["r1: failed", "r2: running"]);
    expect(marks[0]?.getAttribute("href")).toBe("/dags/example/runs/r1");

    const fresh = await row("fresh");
    expect(fresh.getByText("never ran")).toBeTruthy();
    expect(fresh.getByText("only when triggered")).toBeTruthy();
    expect(fresh.getByText("paused")).toBeTruthy();
    await expectAccessible(container);
  });

  it("pauses a DAG", async () => {
    world.dags = [dag("example")];
    const { user } = open("/");
    const active = await screen.findByRole("switch", { name: "example is active" });
    expect(active).toHaveProperty("checked", true);
    await user.click(active);
    await waitFor(() => expect(screen.getByRole("switch")).toHaveProperty("checked", false));
    expect(sent).toEqual([{ method: "PATCH", path: "/api/v2/dags/example", body: { is_paused: true } }]);
    expect(await screen.findByText("paused")).toBeTruthy();
  });

  it("triggers a run and leads to it", async () => {
    world.dags = [dag("example", { is_paused: true })];
    world.runs = [run("example", "r1")];
    const { user } = open("/");
    await user.click(await screen.findByRole("button", { name: "Trigger example" }));
    const link = await screen.findByRole("link", { name: "manual__new" });
    expect(link.getAttribute("href")).toBe("/dags/example/runs/manual__new");
    expect(screen.getByText(/waits until it is made active/)).toBeTruthy();
    expect(sent).toEqual([{ method: "POST", path: "/api/v2/dags/example/dagRuns", body: { logical_date: null } }]);
  });

  it("shows the server's words when a trigger is refused", async () => {
    world.dags = [dag("example")];
    const { user } = open("/");
    await user.click(await screen.findByRole("button", { name: "Trigger example" }));
    expect((await screen.findByRole("alert")).textContent).toBe("The DAG was not found");
  });

  it("puts files with errors on top, with the whole message", async () => {
    world.importErrors = [importError("broken.yaml", "broken.yaml:3:8: unknown operator `crm.fuzzy`")];
    const { container } = open("/");
    const errors = within(await screen.findByRole("region", { name: "1 DAG file has an error" }));
    expect(errors.getByText("broken.yaml")).toBeTruthy();
    expect(errors.getByText(/unknown operator `crm.fuzzy`/)).toBeTruthy();
    await expectAccessible(container);
  });

  it("keeps the search in the address", async () => {
    world.dags = [dag("alpha"), dag("beta")];
    const { user, here } = open("/");
    await screen.findByRole("link", { name: "alpha" });
    await user.type(screen.getByRole("searchbox", { name: "Search DAGs by name" }), "bet");
    await waitFor(() => expect(screen.queryByRole("link", { name: "alpha" })).toBeNull());
    expect(here()).toBe("/dags?q=bet");
    expect(screen.getByRole("link", { name: "beta" })).toBeTruthy();
  });

  it("says what to do when there is no DAG", async () => {
    open("/");
    expect(await screen.findByText(/Put a YAML file into the DAGs folder/)).toBeTruthy();
  });
});

describe("the page of a DAG", () => {
  it("lists its runs and filters them by state, in the address", async () => {
    world.dags = [dag("example")];
    world.runs = [run("example", "good"), run("example", "bad", { state: "failed" }), run("other", "elsewhere")];
    const { user, here, container } = open("/dags/example");
    expect(await screen.findByRole("heading", { level: 1, name: "example" })).toBeTruthy();
    expect(screen.getByRole("link", { name: "good" })).toBeTruthy();
    expect(screen.queryByRole("link", { name: "elsewhere" })).toBeNull();
    await expectAccessible(container);

    await user.selectOptions(screen.getByRole("combobox", { name: "State" }), "failed");
    await waitFor(() => expect(screen.queryByRole("link", { name: "good" })).toBeNull());
    expect(screen.getByRole("link", { name: "bad" })).toBeTruthy();
    expect(here()).toBe("/dags/example?state=failed");
  });

  it("says so when there is no such DAG", async () => {
    open("/dags/nothing");
    expect(await screen.findByRole("heading", { name: "There is no page here" })).toBeTruthy();
    expect(screen.getByText("The DAG was not found")).toBeTruthy();
  });
});
