import { screen } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { stale } from "../../api/events";
import { IDLE_MS, live } from "../../lib/live";
import { dag } from "../../testing/fixtures";
import { expectAccessible, open } from "../../testing/render";
import { world } from "../../testing/handlers";
import { server } from "../../testing/server";

it("keeps what it shows and says since when, while the server is away", async () => {
  world.dags = [dag("example")];
  const { queries } = open("/");
  await screen.findByRole("link", { name: "example" });
  server.use(http.get("*/api/v2/dags", () => HttpResponse.error()));
  void queries.refetchQueries({ queryKey: ["dags"] });
  expect(await screen.findByText(/Cannot reach the server/)).toBeTruthy();
  expect(screen.getByRole("link", { name: "example" })).toBeTruthy();
});

it("shows the server's words and a way on when a page cannot be had", async () => {
  server.use(http.get("*/api/v2/dags", () => HttpResponse.json({ detail: "lookup id 7f" }, { status: 500 })));
  const { user } = open("/");
  expect(await screen.findByText("lookup id 7f")).toBeTruthy();
  server.resetHandlers();
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText(/No DAGs yet/)).toBeTruthy();
});

describe("what the server tells", () => {
  let tell: (event: string, data: object) => void;

  beforeEach(() => {
    world.events = new ReadableStream({
      start(controller) {
        const encoder = new TextEncoder();
        tell = (event, data) =>
          controller.enqueue(encoder.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\nid: 1-1\n\n`));
      },
    });
    world.dags = [dag("example")];
  });

  it("is shown at once, not at the next poll", async () => {
    open("/");
    await screen.findByRole("link", { name: "example" });
    await vi.waitFor(() => expect(live.isTold()).toBe(true));
    world.dags = [dag("example"), dag("new")];
    tell("dag", { dag_id: "new" });
    await screen.findByRole("link", { name: "new" }, { timeout: IDLE_MS / 2 });
  });

  it("may be that all must be read anew", async () => {
    open("/");
    await screen.findByRole("link", { name: "example" });
    await vi.waitFor(() => expect(live.isTold()).toBe(true));
    world.dags = [];
    tell("reset", {});
    await screen.findByText(/No DAGs yet/, undefined, { timeout: IDLE_MS / 2 });
  });

  it("makes only that stale which it is about", () => {
    const run = { dag_id: "d", dag_run_id: "r" };
    const keys = (name: string) => stale({ name, data: JSON.stringify(run) });
    expect(keys("task_instance")).toEqual([["run", "d", "r"]]);
    expect(keys("dag_run")).toEqual([
      ["runs", "d"],
      ["runs", "~"],
      ["run", "d", "r"],
    ]);
    expect(keys("reset")).toBe("everything");
    expect(keys("of a newer server")).toEqual([]);
  });
});

it("has a page for addresses that do not exist", async () => {
  const { container } = open("/nothing/here");
  expect(await screen.findByRole("heading", { name: "There is no page here" })).toBeTruthy();
  await expectAccessible(container);
});
