/** The files of `ui/dist` as the binary serves them (compressed, with its policy), in front of a server that has others. */
import { existsSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";

const DIST = join(import.meta.dirname, "../dist");
const OTHERS = /^\/(api|auth|ui|openapi\.json)(\/|$|\?)/;
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** The policy that the server sends with each page. */
export function policy(): string {
  const source = readFileSync(new URL("../../webserver/src/ui_assets.rs", import.meta.url), "utf8");
  const text = /CONTENT_SECURITY_POLICY: &str = "((?:[^"\\]|\\\s+)*)"/.exec(source)?.[1];
  if (text === undefined) throw new Error("ui_assets.rs has no policy where this looks for it");
  return text.replace(/\\\s+/g, "");
}

export async function startFront(behind: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const files = new Map<string, Buffer>();
  const security = policy();
  const target = new URL(behind);
  const server = createServer((asked, answer) => {
    const path = asked.url ?? "/";
    if (OTHERS.test(path)) {
      const { hostname, port } = target;
      const passed = request({ hostname, port, path, method: asked.method, headers: asked.headers }, (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        answer.flushHeaders();
        got.pipe(answer);
      });
      // What is behind is away: so is what is in front.
      passed.on("error", () => asked.socket.destroy());
      answer.on("close", () => passed.destroy());
      asked.pipe(passed);
      return;
    }
    const name = path.split("?")[0] ?? "/";
    const file = name !== "/" && existsSync(join(DIST, name)) ? name : name === "/docs" ? "/docs.html" : "/index.html";
    let body = files.get(file);
    if (body === undefined) files.set(file, (body = gzipSync(readFileSync(join(DIST, file)))));
    const isPage = file.endsWith(".html");
    answer.writeHead(200, {
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
      "Content-Encoding": "gzip",
      "Cache-Control": file.startsWith("/static/") ? "public, max-age=31536000, immutable" : "no-cache",
      ...(isPage ? { "Content-Security-Policy": security } : {}),
    });
    answer.end(body);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
