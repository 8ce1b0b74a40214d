/** `make shots`: a picture of every page, in both themes and on a phone, to look at as a designer would: `target/shots/`. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";

import { pagesOf, settled, type PageOf } from "./pages";
import { launch, startServer, visit, type Server } from "./support";

const folder = process.env.SHOTS ?? join(import.meta.dirname, "../../target/shots");

let server: Server;
let browser: Browser;
let pages: PageOf[];

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  [server, browser] = await Promise.all([startServer(), launch()]);
  const { context, close } = await visit(browser, server, "/about");
  pages = await pagesOf(context, server);
  await close();
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

const LOOKS = [
  { suffix: "light", scheme: "light", width: 1440 },
  { suffix: "dark", scheme: "dark", width: 1440 },
  { suffix: "phone", scheme: "light", width: 390, height: 844 },
  { suffix: "zh", scheme: "light", width: 1440, language: "zh" },
] as const;

it.each(LOOKS)("takes pictures: $suffix", { timeout: 900_000 }, async ({ suffix, ...how }) => {
  const complaints: string[] = [];
  for (const { name, path } of [...pages, { name: "login", path: "/login" }]) {
    const signedIn = name !== "login";
    const { page, complaints: said, close } = await visit(browser, server, path, { ...how, signedIn });
    await settled(page).catch((error: unknown) => said.push(String(error)));
    await page.screenshot({ path: join(folder, `${name}-${suffix}.png`) });
    complaints.push(...said.map((text) => `${name}: ${text}`));
    await close();
  }
  console.log(`${pages.length + 1} pictures, ${suffix}: ${folder}`);
  expect(complaints).toEqual([]);
});
