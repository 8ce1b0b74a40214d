import { screen, waitFor, within } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { stale } from "../../api/events";
import { IDLE_MS, live } from "../../lib/live";
import { preferences } from "../../lib/preferences";
import { dag, listedDag } from "../../testing/fixtures";
import { expectAccessible, open } from "../../testing/render";
import { sent, world } from "../../testing/handlers";
import { server } from "../../testing/server";
import { newsOf } from "./News";

it("keeps what it shows and says since when, while the server is away", async () => {
  world.listed = [listedDag("example")];
  const { queries } = open("/dags");
  await screen.findByRole("link", { name: "example" });
  server.use(http.get("*/ui/dags", () => HttpResponse.error()));
  void queries.refetchQueries({ queryKey: ["dags"] });
  expect(await screen.findByText(/No answer from the server/)).toBeTruthy();
  expect(screen.getByRole("link", { name: "example" })).toBeTruthy();
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
    world.listed = [listedDag("example")];
  });

  it("is shown at once, not at the next poll", async () => {
    open("/dags");
    await screen.findByRole("link", { name: "example" });
    await vi.waitFor(() => expect(live.isTold()).toBe(true));
    world.listed = [listedDag("example"), listedDag("new")];
    tell("dag", { dag_id: "new" });
    await screen.findByRole("link", { name: "new" }, { timeout: IDLE_MS / 2 });
  });

  it("may be that all must be read anew", async () => {
    open("/dags");
    await screen.findByRole("link", { name: "example" });
    await vi.waitFor(() => expect(live.isTold()).toBe(true));
    world.listed = [];
    tell("reset", {});
    await screen.findByText(/No DAGs yet/, undefined, { timeout: IDLE_MS / 2 });
  });

  it("makes only that stale which it is about", () => {
    const run = { dag_id: "d", dag_run_id: "r" };
    const keys = (name: string) => stale({ name, data: JSON.stringify(run) });
    expect(keys("task_instance")).toContainEqual(["run", "d", "r"]);
    expect(keys("task_instance")).not.toContainEqual(["runs", "d"]);
    for (const key of [["runs", "d"], ["runs", "~"], ["run", "d", "r"], ["dags", "list"], ["home"]])
      expect(keys("dag_run")).toContainEqual(key);
    expect(keys("reset")).toBe("everything");
    expect(keys("of a newer server")).toEqual([]);
  });
});

it("has a page for addresses that do not exist", async () => {
  const { container } = open("/nothing/here");
  expect(await screen.findByRole("heading", { name: "There is no page here" })).toBeTruthy();
  await expectAccessible(container);
});

describe("the palette", () => {
  const openPalette = async (user: ReturnType<typeof open>["user"]) => {
    await user.keyboard("{Control>}k{/Control}");
    return screen.findByRole("combobox", { name: /^Search DAGs, runs/ });
  };

  it("finds what the server has, and goes there by keyboard", async () => {
    world.found = {
      dags: [{ dag_id: "payments", dag_display_name: "payments", is_paused: false }],
      tasks: [{ dag_id: "payments", task_id: "reconcile" }],
      runs: [],
      assets: [],
    };
    const { user, here, container } = open("/about");
    await screen.findByRole("heading", { name: "About" });
    await user.type(await openPalette(user), "pay");
    expect(await screen.findByRole("option", { name: /payments:reconcile/ })).toBeTruthy();
    await expectAccessible(container);
    await user.keyboard("{Enter}");
    await waitFor(() => expect(here()).toBe("/dags/payments"));
  });

  it("does what it is told", async () => {
    world.dags = [dag("payments")];
    world.found.dags = [{ dag_id: "payments", dag_display_name: "payments", is_paused: false }];
    const { user } = open("/about");
    await screen.findByRole("heading", { name: "About" });
    await user.type(await openPalette(user), "pause pay");
    await user.click(await screen.findByRole("option", { name: "Pause payments" }));
    expect(await screen.findByText("payments is paused.")).toBeTruthy();
    expect(sent).toEqual([{ method: "PATCH", path: "/api/v2/dags/payments", body: { is_paused: true } }]);
  });

  it("knows the pages in both languages", async () => {
    const { user, here } = open("/about");
    await screen.findByRole("heading", { name: "About" });
    await user.type(await openPalette(user), "pools{Enter}");
    await waitFor(() => expect(here()).toBe("/pools"));
  });
});

it("keys go to pages, and the sheet behind ? lists them", async () => {
  const { user, here } = open("/about");
  await screen.findByRole("heading", { name: "About" });
  await user.keyboard("?");
  const sheet = within(await screen.findByRole("dialog", { name: "Keyboard shortcuts" }));
  expect(sheet.getByText("Search or do something")).toBeTruthy();
  await user.keyboard("{Escape}");
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  await user.keyboard("gd");
  await waitFor(() => expect(here()).toBe("/dags"));
});

// Without a layout the menus think that what they hang on is out of sight: hence `hidden`.
it("speaks Chinese at once, and keeps to it", async () => {
  const { user } = open("/about");
  await screen.findByRole("heading", { name: "About" });
  await user.click(screen.getByRole("button", { name: "Settings of admin" }));
  await user.click(await screen.findByRole("menuitemradio", { name: "简体中文", hidden: true }));
  expect(await screen.findByRole("heading", { level: 1, name: "关于" })).toBeTruthy();
  expect(document.documentElement.lang).toBe("zh-CN");
  expect(localStorage.getItem("updraft.language")).toBe("zh");
  preferences.setLanguage("en");
});

it("shows times in the zone that is chosen", async () => {
  const { user } = open("/about");
  await screen.findByRole("heading", { name: "About" });
  preferences.setZone("Asia/Kathmandu");
  expect(await screen.findByRole("button", { name: "Time zone: Asia/Kathmandu" })).toHaveProperty(
    "textContent",
    "UTC+5:45",
  );
  await user.click(screen.getByRole("button", { name: "Time zone: Asia/Kathmandu" }));
  await user.click(await screen.findByRole("menuitemradio", { name: "UTC", hidden: true }));
  expect((await screen.findByRole("button", { name: "Time zone: UTC" })).textContent).toBe("UTC");
  preferences.setZone(null);
});

it("tells what went wrong since the page was opened", () => {
  const news = (name: string, data: object) => newsOf({ name, data: JSON.stringify(data) }, 0);
  expect(news("dag_run", { dag_id: "d", dag_run_id: "r", state: "failed" })).toMatchObject({
    to: "/dags/d/runs/r",
    text: "d failed",
  });
  expect(news("dag_run", { dag_id: "d", dag_run_id: "r", state: "success" })).toBeNull();
  expect(news("import_error", { import_error_id: 1, deleted: true })).toBeNull();
  expect(news("executor", { name: "n1", state: "lost" })).toMatchObject({ to: "/nodes" });
});
