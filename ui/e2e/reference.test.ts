import { chromium, type Browser } from "playwright-core";
import { preview, type PreviewServer } from "vite";
import { afterAll, beforeAll, expect, it } from "vitest";

import { policy } from "./front";

let browser: Browser;
let server: PreviewServer;

beforeAll(async () => {
  server = await preview({ preview: { port: 0, host: "127.0.0.1" }, logLevel: "error" });
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

it("the API's reference lists the operations of /openapi.json under the server's policy", async () => {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => void (message.type() === "error" && complaints.push(message.text())));
  const asked: string[] = [];
  page.on("request", (request) => void asked.push(new URL(request.url()).host));
  const base = server.resolvedUrls?.local[0] ?? "";
  await page.route("**/docs.html", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, headers: { ...answer.headers(), "content-security-policy": policy() } });
  });
  const operation = { tags: ["DAG"], summary: "List DAGs", responses: { 200: { description: "" } } };
  const document = {
    openapi: "3.1.0",
    info: { title: "Updraft", version: "2" },
    paths: { "/api/v2/dags": { get: operation } },
  };
  await page.route("**/openapi.json", (route) => route.fulfill({ json: document }));
  await page.goto(new URL("docs.html", base).href);
  await page.getByText("DAG", { exact: true }).click();
  await page.getByText("List DAGs").waitFor();
  await page.close();
  expect(complaints).toEqual([]);
  expect([...new Set(asked.filter((host) => host !== ""))]).toEqual([new URL(base).host]);
});
