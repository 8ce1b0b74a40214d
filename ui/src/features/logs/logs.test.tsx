import { act, screen, waitFor } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";

import { task, waitingTask } from "../../testing/fixtures";
import { expectAccessible, open } from "../../testing/render";
import { logTokens, world } from "../../testing/handlers";
import { linesOf, reduce } from "./tail";

const ADDRESS = "/dags/example/runs/manual__1/tasks/extract/logs/1";
const line = (event: string, level = "info") => ({ timestamp: "2026-11-22T08:00:02Z", event, level, logger: "task" });

afterEach(() => {
  vi.useRealTimers();
});

describe("the log of a try", () => {
  it("shows a finished log once", async () => {
    world.tasks = [task("extract")];
    world.logs = [{ content: [line("hello"), line("it broke", "error")], continuation_token: null }];
    const { container } = open(ADDRESS);
    expect(await screen.findByText("hello")).toBeTruthy();
    expect(screen.getByText("ERROR")).toBeTruthy();
    expect(screen.getByText("End of the log.")).toBeTruthy();
    expect(logTokens).toEqual([null]);
    await expectAccessible(container);
  });

  it("follows a running try and asks only for what is new", async () => {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"],
      shouldAdvanceTime: true,
    });
    world.tasks = [task("extract", { state: "running", end_date: null, duration: null })];
    world.logs = [
      { content: [line("one")], continuation_token: "after-one" },
      { content: [line("two")], continuation_token: "after-two" },
      { content: [], continuation_token: "after-two" },
    ];
    open(ADDRESS);
    expect(await screen.findByText("one")).toBeTruthy();
    await act(() => vi.advanceTimersByTimeAsync(1_000));
    expect(await screen.findByText("two")).toBeTruthy();
    expect(screen.getByText("one")).toBeTruthy();
    expect(screen.getByText(/^Following/)).toBeTruthy();

    world.tasks = [task("extract")];
    await act(() => vi.advanceTimersByTimeAsync(4_000));
    await waitFor(() => expect(screen.getByText("End of the log.")).toBeTruthy());
    expect(logTokens.slice(0, 3)).toEqual([null, "after-one", "after-two"]);
  });

  it("has beside it why the try failed and how it ran", async () => {
    const unknown = { image_digest: null, container_id: null };
    world.tasks = [task("extract", { state: "failed" })];
    world.tries = [
      {
        try_number: 1,
        exit_code: 137,
        failure_class: "oom_killed",
        failure_reason: "The kernel killed it.",
        image: "busybox",
        command: ["sh", "-c", "fill"],
        peak_memory: 64 * 2 ** 20,
        ...unknown,
      },
    ];
    world.logs = [{ content: [line("hello")], continuation_token: null }];
    const { container } = open(ADDRESS);
    expect(await screen.findByText("The kernel killed it.")).toBeTruthy();
    for (const shown of ["oom_killed", "137", "busybox", "sh -c fill", "64.0 MiB"]) {
      expect(screen.getByText(shown)).toBeTruthy();
    }
    await expectAccessible(container);
  });

  it("leads to the logs of earlier tries", async () => {
    world.tasks = [task("extract", { try_number: 3 })];
    open("/dags/example/runs/manual__1/tasks/extract/logs/3");
    const second = await screen.findByRole("link", { name: "Try 2" });
    expect(second.getAttribute("href")).toBe("/dags/example/runs/manual__1/tasks/extract/logs/2");
    expect(screen.getByRole("link", { name: "Try 3: success" }).getAttribute("aria-current")).toBe("page");
  });

  it("says that a task has not run instead of asking for a log", async () => {
    world.tasks = [waitingTask("extract")];
    open(ADDRESS);
    expect(await screen.findByText("This task has not run yet.")).toBeTruthy();
    expect(logTokens).toEqual([]);
  });
});

describe("the lines of a log", () => {
  it("have no terminal escape sequences", () => {
    expect(linesOf(["\u001b[31mred\u001b[0m"])[0]?.event).toBe("red");
  });

  it("are replaced, not repeated, when the server sends the whole log again", () => {
    const first = reduce(
      { lines: [], ended: false, error: "away" },
      { type: "page", lines: linesOf(["a"]), append: false, ended: false },
    );
    const again = reduce(first, { type: "page", lines: linesOf(["a", "b"]), append: false, ended: true });
    expect(again.lines.map((item) => item.event)).toEqual(["a", "b"]);
    expect(first.error).toBeNull();
  });
});
