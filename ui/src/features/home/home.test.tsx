import { screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";

import { failure, home, NOW } from "../../testing/fixtures";
import { world } from "../../testing/handlers";
import { expectAccessible, open } from "../../testing/render";

const panel = async (name: string) => within(await screen.findByRole("region", { name }));

describe("Home", () => {
  it("names what failed with its last error, and leads to its log and to a retry", async () => {
    world.home = home({
      needs_you: {
        total: 3,
        items: [
          failure("payments", "reconcile", { last_error: "503 from ledger" }),
          failure("invoices", "parse", { failed_instances: 3, instances: 24, map_index: 4, run_state: "success" }),
          {
            kind: "import_error",
            import_error_id: 1,
            filename: "crm.yaml",
            bundle_name: "dags-folder",
            line: 3,
            column: 8,
            message: "unknown operator",
            timestamp: NOW,
            dag_ids: ["crm"],
          },
        ],
      },
    });
    const { container } = open("/");
    expect(await screen.findByRole("heading", { level: 1, name: "3 things need you" })).toBeTruthy();
    const needs = await panel("Needs you");
    expect(needs.getByRole("link", { name: "503 from ledger" }).getAttribute("href")).toBe(
      "/dags/payments/runs/scheduled__1/tasks/reconcile",
    );
    expect(needs.getByText("3 of 24")).toBeTruthy();
    expect(needs.getByText("the run is green all the same")).toBeTruthy();
    expect(needs.getByRole("button", { name: "Retry what failed in invoices › scheduled__1" }).textContent).toBe(
      "Retry 3",
    );
    expect(needs.getByRole("link", { name: "crm.yaml:3:8" })).toBeTruthy();
    await expectAccessible(container);
  });

  it("says why tasks wait, and which", async () => {
    world.home = home({
      waiting: {
        total: 4,
        groups: [
          {
            reason: { code: "pool_full", pool: "db", used: 1, slots: 1, needs: 1 },
            count: 4,
            since: NOW,
            examples: [{ dag_id: "d", dag_run_id: "r", task_id: "t", map_index: -1, since: NOW }],
          },
        ],
      },
    });
    open("/");
    const waiting = await panel("Waiting");
    expect(waiting.getByText("The pool db is full: 1 of 1 slots are taken and it needs 1.")).toBeTruthy();
    expect(waiting.getByRole("link", { name: "d › t" }).getAttribute("href")).toBe("/dags/d/runs/r/tasks/t");
    expect(waiting.getByRole("link", { name: "4 tasks wait: the DAGs" }).getAttribute("href")).toBe(
      "/dags?state=waiting",
    );
  });

  it("is calm when nothing is wrong", async () => {
    open("/");
    expect(await screen.findByRole("heading", { level: 1, name: "Nothing needs you" })).toBeTruthy();
    expect(screen.getByText(/3 runs succeeded in the last 24 h/)).toBeTruthy();
    expect(screen.queryByRole("region", { name: "Needs you" })).toBeNull();
  });

  it("shows the way to a first run when there is no DAG", async () => {
    world.home = home({ dags_total: 0 });
    open("/");
    expect(await screen.findByText(/updraft dags trigger hello/)).toBeTruthy();
  });
});
