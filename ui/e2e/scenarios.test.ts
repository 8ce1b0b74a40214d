/** What people come for, in a real browser against the real server, from the sign-in on. By roles and names only. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { paths } from "../src/paths";
import { dagsAreThere, finished, pagesOf, settled, stateOf, trigger, type PageOf } from "./pages";
import { api, launch, startServer, until, violations, visit, type Server, type Visit } from "./support";

let server: Server;
let browser: Browser;
let pages: PageOf[];

beforeAll(async () => {
  [server, browser] = await Promise.all([startServer(), launch()]);
  const { context, close } = await visit(browser, server, paths.about());
  for (const dag of ["e2e_form", "e2e_flaky", "e2e_log", "e2e_daily"]) await dagsAreThere(context, server, dag);
  pages = await pagesOf(context, server);
  await close();
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

let visits: Visit[] = [];
let complaints: string[] = [];

beforeEach(() => {
  visits = [];
  complaints = [];
});

/** No scenario may end with an error in the console. */
afterEach(async () => {
  for (const { close, complaints: said } of visits) {
    complaints.push(...said);
    await close();
  }
  expect(complaints).toEqual([]);
});

async function go(
  path: string,
  how: Parameters<typeof visit>[3] = {},
): Promise<{ page: Page; context: BrowserContext }> {
  const made = await visit(browser, server, path, how);
  visits.push(made);
  return made;
}

const SOON = { timeout: 20_000 };
/** Pages that are looked at side by side: most of the time of one is waiting. */
const AT_ONCE = 4;

describe("signing in", () => {
  it("is asked for, refuses a wrong password, and leads back to the page that was asked for", async () => {
    const { page } = await go(paths.dags({ q: "e2e" }), { signedIn: false });
    await page.getByRole("heading", { name: "Sign in" }).waitFor(SOON);
    await page.getByLabel("User name").fill(server.user);
    await page.getByLabel("Password", { exact: true }).fill("wrong");
    await page.keyboard.press("Enter");
    await page.getByText("User name or password is wrong.").waitFor(SOON);
    await page.getByLabel("Password", { exact: true }).fill(server.password);
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "e2e_form", exact: true }).waitFor(SOON);
    expect(new URL(page.url()).search).toBe("?q=e2e");
    // The browser itself reports the refusals.
    visits[0]?.complaints.splice(0);
  });

  it("is asked for anew when the session has ended, and leads back", async () => {
    const { page, context } = await go(paths.dag("e2e_form", "runs"));
    await page.getByRole("heading", { level: 1, name: "e2e_form" }).waitFor(SOON);
    await context.clearCookies();
    await page.getByRole("navigation", { name: "Main", exact: true }).getByRole("link", { name: "Runs" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor(SOON);
    await page.getByLabel("User name").fill(server.user);
    await page.getByLabel("Password", { exact: true }).fill(server.password);
    await page.keyboard.press("Enter");
    // Where they were, or where they were going.
    await page.getByRole("heading", { level: 1, name: /^(Runs|e2e_form)$/ }).waitFor(SOON);
    visits[0]?.complaints.splice(0);
  });
});

it("a run is triggered with a form, and its states change live", async () => {
  const { page, context } = await go(paths.trigger("e2e_form"));
  const sheet = page.getByRole("dialog");
  await sheet.getByLabel("Table").fill("invoices");
  await sheet.getByLabel("Rows at most").fill("1000");
  // Said as one types, before anything is sent.
  await sheet.getByText(/100/).first().waitFor(SOON);
  await sheet.getByLabel("Rows at most").fill("42");
  await sheet.getByRole("button", { name: /^Trigger/ }).click();
  await page.waitForURL(/\/runs\//, SOON);
  const runId = decodeURIComponent(/runs\/([^/?]+)/.exec(page.url())?.[1] ?? "");
  await finished(context, server, "e2e_form", runId);
  await page.getByText("success").filter({ visible: true }).first().waitFor(SOON);
  const run = await api<{ conf: object }>(
    context,
    server,
    `/api/v2/dags/e2e_form/dagRuns/${encodeURIComponent(runId)}`,
  );
  expect(run.conf).toMatchObject({ table: "invoices", limit: 42 });
});

it("a live log grows while it is watched", async () => {
  const { page, context } = await go(paths.about());
  const runId = await trigger(context, server, "e2e_log");
  await page.goto(server.url + paths.task({ dagId: "e2e_log", runId, taskId: "talk", mapIndex: -1 }));
  await page.getByText("line 2 of the log").first().waitFor(SOON);
  expect(await stateOf(context, server, "e2e_log", runId)).toBe("running");
  await page.getByText("line 24 of the log").first().waitFor({ timeout: 30_000 });
});

it("what failed is on Home with its error; it is cleared with a preview, and succeeds", async () => {
  const { page, context } = await go(paths.about());
  const runId = await trigger(context, server, "e2e_flaky");
  await finished(context, server, "e2e_flaky", runId);
  await page.goto(server.url + paths.home());
  const needs = page.getByRole("region", { name: "Needs you" });
  await needs
    .getByText(/ledger answered 503/)
    .first()
    .waitFor(SOON);
  await needs
    .getByRole("button", { name: `Retry what failed in e2e_flaky › ${runId}` })
    .first()
    .click();
  const sheet = page.getByRole("dialog");
  const submit = sheet.getByRole("button", { name: /^(Clear|Retry) 2 tasks/ });
  await submit.waitFor(SOON);
  await submit.click();
  await until(async () => (await stateOf(context, server, "e2e_flaky", runId)) === "success", 60_000, "the retry");
});

it("a backfill is made after a dry run", async () => {
  const { page, context } = await go(paths.dag("e2e_daily", "backfills"));
  await page
    .getByRole("button", { name: /backfill/i })
    .first()
    .click();
  const sheet = page.getByRole("dialog");
  await sheet.getByLabel(/^From/).fill("2026-11-03");
  await sheet.getByLabel(/^To, that day included/).fill("2026-11-05");
  const create = sheet.getByRole("button", { name: "Backfill 3 runs" });
  await create.waitFor(SOON);
  await create.click();
  await until(
    async () =>
      (await api<{ total_entries: number }>(context, server, "/api/v2/dags/e2e_daily/dagRuns?run_type=backfill"))
        .total_entries === 3,
    60_000,
    "three runs",
  );
});

it("a DAG is paused in the list", async () => {
  const { page, context } = await go(paths.dags({ q: "e2e_log" }));
  await page.getByRole("switch", { name: "e2e_log is active" }).click({ force: true });
  await until(
    async () => (await api<{ is_paused: boolean }>(context, server, "/api/v2/dags/e2e_log")).is_paused,
    10_000,
    "the pause",
  );
  await page.getByText("paused", { exact: true }).first().waitFor(SOON);
  // Somebody else's change shows too; two that undo each other within one look of the server at its DAGs are none.
  await page.waitForTimeout(2_000);
  await api(context, server, "/api/v2/dags/e2e_log", "PATCH", { is_paused: false });
  await page
    .getByText("paused", { exact: true })
    .first()
    .waitFor({ state: "detached", ...SOON });
});

it("a connection is made, its secret is never shown", async () => {
  const { page, context } = await go(paths.connections());
  await page
    .getByRole("button", { name: /connection/i })
    .first()
    .click();
  const sheet = page.getByRole("dialog");
  await sheet.getByLabel(/id/i).first().fill("e2e_http");
  const type = sheet.getByLabel(/type/i).first();
  await type.fill("http");
  await sheet.getByLabel(/host/i).first().fill("example.org");
  await sheet
    .getByLabel(/password/i)
    .first()
    .fill("very-secret");
  await sheet.getByRole("button", { name: /^(Create|Save|Add)/ }).click();
  await page.getByText("e2e_http").first().waitFor(SOON);
  expect(await page.content()).not.toContain("very-secret");
  const connection = await api<{ host: string }>(context, server, "/api/v2/connections/e2e_http");
  expect(connection.host).toBe("example.org");
});

it("a node is drained and taken up again", async () => {
  const { page, context } = await go(paths.nodes());
  const isDrained = async () =>
    (await api<{ executors: { is_drained: boolean }[] }>(context, server, "/ui/executors")).executors[0]?.is_drained;
  const press = async (verb: string) => {
    await page
      .getByRole("button", { name: new RegExp(`^${verb}`) })
      .first()
      .click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: new RegExp(`^${verb}`) })
      .click();
  };
  await press("Drain");
  await until(async () => (await isDrained()) === true, 15_000, "the draining");
  await page.getByRole("dialog").waitFor({ state: "detached", ...SOON });
  await press("Resume");
  await until(async () => (await isDrained()) === false, 15_000, "the resuming");
});

it("speaks both languages, without a reload", async () => {
  const { page } = await go(paths.home());
  await page.getByRole("button", { name: `Settings of ${server.user}` }).click();
  await page.getByRole("menuitemradio", { name: "简体中文" }).click();
  await page.getByRole("region", { name: "健康状况" }).waitFor(SOON);
  expect(await page.evaluate(() => document.documentElement.lang)).toBe("zh-CN");
});

it("shows what a viewer may not do, and why", async () => {
  const admin = await go(paths.about());
  const viewer = { username: "e2e-viewer", password: "viewer-of-the-tests", role: "viewer" };
  await api(admin.context, server, "/ui/users", "POST", viewer).catch(() => null);
  const { page } = await go(paths.dags({ q: "e2e_form" }), {
    signedIn: { user: viewer.username, password: viewer.password },
  });
  const button = page.getByRole("button", { name: "Trigger e2e_form" });
  await button.hover();
  await page.getByText("Your role lacks the permission Write:DagRun.").waitFor(SOON);
});

it("says that the server is away, keeps what it shows, and goes on when it is back", async (test) => {
  const { restart } = server;
  if (restart === null) return test.skip("not on a server that is not ours");
  const { page } = await go(paths.dags({ q: "e2e" }));
  const form = page.getByRole("link", { name: "e2e_form", exact: true });
  await form.waitFor(SOON);
  const away = page.getByText(/No answer from the server since/);
  const back = await restart();
  await away.waitFor({ timeout: 30_000 });
  await form.waitFor();
  await back();
  await away.waitFor({ state: "detached", timeout: 60_000 });
  // The browser itself reports what it could not reach.
  visits[0]?.complaints.splice(0);
});

describe("by keyboard only", () => {
  it("one finds a DAG, opens it, and comes back", async () => {
    const { page } = await go(paths.home());
    await page.getByRole("heading", { level: 1 }).waitFor(SOON);
    await page.keyboard.press("Control+k");
    await page.keyboard.type("e2e_form");
    await page.getByRole("option", { name: "e2e_form", exact: true }).first().waitFor(SOON);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "e2e_form" }).waitFor(SOON);
    await page.keyboard.press("g");
    await page.keyboard.press("d");
    await page.getByRole("heading", { level: 1, name: "DAGs" }).waitFor(SOON);
    await page.getByRole("row").nth(1).waitFor(SOON);
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor(SOON);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  });
});

describe.each([
  { scheme: "light", width: 1440 },
  { scheme: "dark", width: 1440 },
  { scheme: "light", width: 390 },
] as const)("every page, $scheme, $width px", (how) => {
  it("has no serious violation, no error in the console, and fits its window", { timeout: 600_000 }, async () => {
    const found: string[] = [];
    const look = async ({ name, path }: PageOf) => {
      const { page, complaints: said, close } = await visit(browser, server, path, how);
      try {
        await settled(page);
        found.push(...(await violations(page)).map((text) => `${name}: ${text}`));
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        if (over > 0) found.push(`${name}: ${over} px wider than the window`);
      } catch (error) {
        found.push(`${name}: ${String(error)}`);
      }
      found.push(...said.map((text) => `${name}: ${text}`));
      await close();
    };
    const waiting = [...pages];
    const worker = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await look(next);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    expect(found).toEqual([]);
  });
});
