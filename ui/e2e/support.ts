/**
 * A real server and a real browser for the tests of this folder, the pictures (`shots.ts`) and the budgets (`bench.ts`).
 *
 * The server is the binary at `UPDRAFT_BIN` (else `target/debug/updraft`, else `target/release/updraft`) on a throw-away database
 * and folder, with the example DAGs and those of `e2e/dags`; or the running one that `UPDRAFT_URL` names (`UPDRAFT_USER`,
 * `UPDRAFT_PASSWORD`; admin and admin without). With `UI_DIST=1` the files of `ui/dist` are served in front of it, when the binary
 * was built with others. The browser is Debian's Chromium, or the one at `CHROMIUM`.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { AxeBuilder } from "@axe-core/playwright";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";

import { startFront } from "./front";

const ROOT = join(import.meta.dirname, "../..");
export const PASSWORD = "a-password-of-the-tests";

export interface Server {
  url: string;
  user: string;
  password: string;
  dags: string | null;
  /** Stops it; what it returns starts it anew, at the same address. Null for a server that is not ours. */
  restart: (() => Promise<() => Promise<void>>) | null;
  stop: () => Promise<void>;
}

export async function startServer({ examples = true } = {}): Promise<Server> {
  const running = process.env.UPDRAFT_URL;
  const user = process.env.UPDRAFT_USER ?? "admin";
  if (running !== undefined) {
    const password = process.env.UPDRAFT_PASSWORD ?? "admin";
    const front = await inFront(running);
    return { url: front.url, user, password, dags: null, restart: null, stop: front.stop };
  }
  const candidates = [process.env.UPDRAFT_BIN, "target/debug/updraft", "target/release/updraft"];
  const binary = candidates
    .filter((path) => path !== undefined)
    .map((path) => join(path.startsWith("/") ? "" : ROOT, path))
    .find((path) => existsSync(path));
  if (binary === undefined) throw new Error("no binary: run cargo build, or set UPDRAFT_BIN or UPDRAFT_URL");

  const home = mkdtempSync(join(tmpdir(), "updraft-e2e-"));
  // As root the private Postgres runs as another user.
  chmodSync(home, 0o755);
  const dags = join(home, "dags");
  mkdirSync(dags);
  if (examples) {
    for (const name of readdirSync(join(ROOT, "dags"))) {
      if (/\.ya?ml$/.test(name) && !/docker/.test(name)) cpSync(join(ROOT, "dags", name), join(dags, name));
    }
  }
  cpSync(join(import.meta.dirname, "dags"), dags, { recursive: true });
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const env = {
    ...process.env,
    UPDRAFT__AUTH__ADMIN_PASSWORD: PASSWORD,
    UPDRAFT__CORE__DAGS_ARE_PAUSED_AT_CREATION: "false",
    UPDRAFT__EXECUTOR__DOCKER: "false",
    UPDRAFT__WEBSERVER__EXPOSE_CONFIG: "true",
  };
  const args = ["standalone", "--port", String(port), "--data-dir", join(home, "data"), "--dags-folder", dags];
  const url = `http://127.0.0.1:${port}`;
  const start = async (): Promise<() => Promise<void>> => {
    const child: ChildProcess = spawn(binary, [...args, "--slots", "8"], { env, stdio: ["ignore", "ignore", "pipe"] });
    const end = () => child.kill("SIGTERM");
    // Also when the tests are stopped half-way.
    process.once("exit", end);
    let said = "";
    child.stderr?.on("data", (piece: Buffer) => {
      said = (said + piece.toString()).slice(-4_000);
    });
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
    });
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`the server ended: ${said}`);
      return (await fetch(`${url}/api/v2/version`).catch(() => null))?.ok === true;
    }, 120_000);
    return async () => {
      end();
      await ended;
    };
  };
  let stop = await start();
  const front = await inFront(url);
  return {
    url: front.url,
    user: "admin",
    password: PASSWORD,
    dags,
    restart: async () => {
      await stop();
      return async () => {
        stop = await start();
      };
    },
    stop: async () => {
      await front.stop();
      await stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

const inFront = (url: string) => (process.env.UI_DIST === undefined ? { url, stop: async () => {} } : startFront(url));

/** Waits for a condition; its own errors end the wait. */
export async function until(condition: () => Promise<boolean>, ms = 30_000, what = "what was waited for") {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what} did not come within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export function launch(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(executablePath)) {
    throw new Error(`no browser at ${executablePath}: install the package chromium, or set CHROMIUM`);
  }
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

export interface Visit {
  page: Page;
  context: BrowserContext;
  /** What the console and the page's scripts complained about. */
  complaints: string[];
  close: () => Promise<void>;
}

interface How {
  scheme?: "light" | "dark";
  language?: "en" | "zh";
  width?: number;
  height?: number;
  signedIn?: boolean | { user: string; password: string };
}

export async function visit(browser: Browser, server: Server, path: string, how: How = {}): Promise<Visit> {
  const { scheme = "light", language = "en", width = 1440, height = 900, signedIn = true } = how;
  const phone = width < 500;
  const context = await browser.newContext({
    colorScheme: scheme,
    viewport: { width, height },
    reducedMotion: "reduce",
    hasTouch: phone,
    isMobile: phone,
    permissions: ["clipboard-read", "clipboard-write"],
    acceptDownloads: true,
  });
  if (signedIn !== false) await signIn(context, server, signedIn === true ? server : signedIn);
  await context.addInitScript((chosen) => localStorage.setItem("updraft.language", chosen), language);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`${message.text()} (${message.location().url})`);
  });
  await page.goto(server.url + path);
  return { page, context, complaints, close: () => context.close() };
}

export async function signIn(context: BrowserContext, server: Server, who: { user: string; password: string }) {
  const answer = await context.request.post(`${server.url}/ui/login`, {
    data: { username: who.user, password: who.password },
  });
  if (!answer.ok()) throw new Error(`signing in as ${who.user}: ${answer.status()}`);
}

/** Asks the API as the visitor does. */
export async function api<T>(context: BrowserContext, server: Server, path: string, method = "GET", data?: unknown) {
  const answer = await context.request.fetch(`${server.url}${path}`, {
    method,
    ...(data === undefined ? {} : { data }),
  });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return (answer.status() === 204 ? null : await answer.json()) as T;
}

/** Serious and critical violations, with what has them. */
export async function violations(page: Page): Promise<string[]> {
  const { violations: found } = await new AxeBuilder({ page }).analyze();
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}
