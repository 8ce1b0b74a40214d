import { existsSync, mkdirSync } from "node:fs";

import { AxeBuilder } from "@axe-core/playwright";
import { getResponse } from "msw";
import { chromium, type Browser, type Page } from "playwright-core";
import { preview, type PreviewServer } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { dag, importError, run, task, waitingTask } from "../src/testing/fixtures";
import { handlers, world } from "../src/testing/handlers";

/** Debian's; set CHROMIUM for another one. */
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** A folder for pictures of every page, for people to look at. */
const pictures = process.env.PICTURES;

let browser: Browser;
let server: PreviewServer;
let base: string;

beforeAll(async () => {
  if (!existsSync(executablePath)) {
    throw new Error(`no browser at ${executablePath}: install the package chromium, or set CHROMIUM`);
  }
  server = await preview({ preview: { port: 0, host: "127.0.0.1" }, logLevel: "error" });
  base = server.resolvedUrls?.local[0] ?? "";
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

const SECOND = 1_000;
const ago = (seconds: number) => new Date(Date.now() - seconds * SECOND).toISOString();

function fillWorld() {
  const soon = { next_dagrun_run_after: ago(-3 * 3600) };
  world.dags = [
    dag("example_dag", {
      timetable_summary: "1 day, 0:00:00",
      description: "The classic example, in a container",
      ...soon,
    }),
    dag("nightly_report", { timetable_summary: "0 2 * * *", ...soon }),
    dag("payments_sync", { timetable_summary: "*/15 * * * *", description: "Ledger to bank, every quarter", ...soon }),
    dag("by_hand", { timetable_summary: null, next_dagrun_run_after: null }),
    dag("resting", { is_paused: true }),
  ];
  const done = (dagId: string, n: number, state: "success" | "failed") =>
    run(dagId, `scheduled__2026-11-${n}T00:00:00+00:00`, {
      state,
      run_type: "scheduled",
      logical_date: ago(86_400 * (23 - n)),
      run_after: ago(86_400 * (23 - n)),
      start_date: ago(86_400 * (23 - n)),
      end_date: ago(86_400 * (23 - n) - 53),
      duration: 53.2,
    });
  world.runs = [
    run("example_dag", "manual__1", {
      state: "running",
      run_after: ago(65),
      start_date: ago(64),
      end_date: null,
      duration: null,
      conf: { day: "2026-11-21" },
    }),
    run("nightly_report", "manual__q", {
      state: "queued",
      run_after: ago(5),
      start_date: null,
      end_date: null,
      duration: null,
    }),
    ...[22, 21, 20, 19].map((n) => done("example_dag", n, n === 20 ? "failed" : "success")),
    ...[22, 21, 20].map((n) => done("payments_sync", n, n === 22 ? "failed" : "success")),
  ];
  const unfinished = { end_date: null, duration: null };
  world.tasks = [
    task("start", { operator_name: "EmptyOperator", hostname: "" }),
    task("extract", {
      operator_name: "BashOperator",
      state: "running",
      start_date: ago(60),
      try_number: 2,
      ...unfinished,
    }),
    task("check", { state: "up_for_retry", operator_name: "DockerOperator" }),
    task("broken", { state: "failed", hostname: "n2", try_number: 2 }),
    waitingTask("after_broken", { state: "upstream_failed" }),
    waitingTask("load", { state: "scheduled" }),
    waitingTask("notify"),
    task("optional", { state: "skipped", hostname: "" }),
    ...(["queued", "deferred", "restarting", "up_for_reschedule", "awaiting_input", "removed"] as const).map((state) =>
      waitingTask(`is_${state}`, { state }),
    ),
  ];
  world.reasons = {
    load: [{ code: "pool_full", pool: "db", used: 5, slots: 5, needs: 1 }],
    notify: [{ code: "upstream_not_done", trigger_rule: "all_success", waiting_for: ["load"] }],
  };
  world.importErrors = [
    importError(
      "crm_dedupe.yaml",
      "error[unknown_operator]: unknown operator `crm.fuzzy`\n  --> crm_dedupe.yaml:3:8\n   |\n 3 |   uses: crm.fuzzy\n   |         ^^^^^^^^^ help: did you mean `bash`?",
    ),
  ];
  const levels = ["info", "info", "warning", "debug", "error"];
  world.logs = [
    {
      content: Array.from({ length: 120 }, (_, n) => ({
        timestamp: ago(60 - n / 2),
        event:
          n % 5 === 4 ? `request ${n} failed: 503 from ledger.internal (upstream connect error)` : `copied batch ${n}`,
        level: levels[n % 5],
        logger: "task.stdout",
      })),
      continuation_token: "more",
    },
    { content: [], continuation_token: "more" },
  ];
}

/** The whole dashboard in a browser; the fixtures answer for the server. Collects what the page complains about. */
async function visit(path: string, colorScheme: "light" | "dark", width = 1280) {
  fillWorld();
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 }, reducedMotion: "reduce" });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => void (message.type() === "error" && complaints.push(message.text())));
  await page.route(/\/(api|auth|ui)\//, async (route) => {
    const asked = route.request();
    const body = asked.postData() === null ? {} : { body: asked.postData() };
    const request = new Request(asked.url(), { method: asked.method(), headers: asked.headers(), ...body });
    const answer = await getResponse(handlers, request);
    if (answer === undefined) throw new Error(`no fixture for ${asked.url()}`);
    await route.fulfill({
      status: answer.status,
      headers: Object.fromEntries(answer.headers),
      body: await answer.text(),
    });
  });
  await page.goto(new URL(path, base).href);
  return { page, complaints, close: () => context.close() };
}

async function picture(page: Page, name: string) {
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
}

const PAGES: [name: string, path: string, ready: string][] = [
  ["login", "/login", "Sign in"],
  ["dags", "/", "payments_sync"],
  ["dag", "/dags/example_dag", "manual__1"],
  ["runs", "/runs", "scheduled__2026-11-22T00:00:00+00:00"],
  ["run", "/dags/example_dag/runs/manual__1", "The pool db is full"],
  ["log", "/dags/example_dag/runs/manual__1/tasks/extract/logs/2", "copied batch 118"],
  ["missing", "/dags/nothing", "There is no page here"],
];

describe.each(["light", "dark"] as const)("in the %s theme", (theme) => {
  it.each(PAGES)("%s has no accessibility violation and no script error", async (name, path, ready) => {
    const { page, complaints, close } = await visit(path, theme);
    await page.getByText(ready).first().waitFor();
    const { violations } = await new AxeBuilder({ page }).analyze();
    await picture(page, `${name}-${theme}`);
    await close();
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`)).toEqual([]);
    // A page that cannot be had is the one place where the console says so too.
    if (name !== "missing") expect(complaints).toEqual([]);
  });

  it("the dialog that clears a task has none either, and closes with Escape", async () => {
    const { page, complaints, close } = await visit("/dags/example_dag/runs/manual__1", theme);
    await page.getByRole("button", { name: "Clear or retry broken" }).click();
    const dialog = page.getByRole("dialog", { name: "Clear broken" });
    await dialog.getByRole("button", { name: /^Clear \d+ tasks/ }).waitFor();
    const { violations } = await new AxeBuilder({ page }).analyze();
    await picture(page, `clear-${theme}`);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await close();
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`)).toEqual([]);
    expect(complaints).toEqual([]);
  });
});

it("a log that is followed shows its end, until the reader scrolls up", async () => {
  const { page, close } = await visit("/dags/example_dag/runs/manual__1/tasks/extract/logs/2", "light");
  const box = page.getByRole("region", { name: "Log lines" });
  const distance = () => box.evaluate((element) => element.scrollHeight - element.clientHeight - element.scrollTop);
  await page.getByText("copied batch 118").waitFor();
  await expect.poll(distance).toBeLessThan(2);
  await box.hover();
  await page.mouse.wheel(0, -300);
  await expect.poll(() => page.getByRole("switch", { name: "Scroll to new lines" }).isChecked()).toBe(false);
  await close();
});

it("fits a phone without scrolling the page sideways", async () => {
  for (const [name, path, ready] of PAGES) {
    const { page, close } = await visit(path, "light", 390);
    await page.getByText(ready).first().waitFor();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    await picture(page, `${name}-phone`);
    await close();
    expect(overflow, name).toBeLessThanOrEqual(0);
  }
});
