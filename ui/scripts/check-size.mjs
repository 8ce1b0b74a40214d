// Fails the build when the scripts that every page loads are larger than the budget (gzipped).
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_KB = 350;
const dist = new URL("../dist/", import.meta.url);
const html = readFileSync(new URL("index.html", dist), "utf8");
const files = [...html.matchAll(/(?:src|href)="\/(static\/[^"]+\.(?:js|css))"/g)].map((match) => match[1]);

let scripts = 0;
for (const file of files) {
  const kb = gzipSync(readFileSync(new URL(file, dist))).length / 1000;
  if (file.endsWith(".js")) scripts += kb;
  console.log(`${file} ${kb.toFixed(1)} kB gzipped`);
}
console.log(`scripts of the shell: ${scripts.toFixed(1)} kB of ${BUDGET_KB} kB`);
if (files.length === 0 || scripts > BUDGET_KB) {
  console.error(files.length === 0 ? "no scripts found in dist/index.html" : "over the budget");
  process.exit(1);
}
