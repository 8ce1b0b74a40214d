// Fails the build when what every page loads, scripts and styles, is larger than the budget (gzipped).
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_KB = 350;
const dist = new URL("../dist/", import.meta.url);
const html = readFileSync(new URL("index.html", dist), "utf8");
const files = [...html.matchAll(/(?:src|href)="\/(static\/[^"]+\.(?:js|css))"/g)].map((match) => match[1]);

let total = 0;
for (const file of files) {
  const kb = gzipSync(readFileSync(new URL(file, dist))).length / 1000;
  total += kb;
  console.log(`${file} ${kb.toFixed(1)} kB gzipped`);
}
console.log(`the shell: ${total.toFixed(1)} kB of ${BUDGET_KB} kB in ${files.length} files`);
if (files.length === 0 || total > BUDGET_KB) {
  console.error(files.length === 0 ? "no scripts found in dist/index.html" : "over the budget");
  process.exit(1);
}
