import { http, HttpResponse } from "msw";

/** The log of every try: these lines, as a node sends them, behind ranges. What looks like a traceback is an error. */
export function logOf(...events: string[]) {
  return logBytes(() =>
    events
      .map((event) =>
        JSON.stringify({
          timestamp: "2026-11-22T08:00:02.5Z",
          level: /^(?:Traceback| {2}|\w+Error)/.test(event) ? "error" : "info",
          event: event.trimEnd(),
          logger: "task.stdout",
        }),
      )
      .map((line) => `${line}\n`)
      .join(""),
  );
}

/** A log that may be another one at each question. */
export const logBytes = (text: () => string) =>
  http.all("*/ui/logs/:dagId/:runId/:taskId/:tryNumber", ({ request }) => {
    const bytes = new TextEncoder().encode(text());
    const total = bytes.length;
    if (request.method === "HEAD") return new HttpResponse(null, { headers: { "Content-Length": String(total) } });
    const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(request.headers.get("Range") ?? "") ?? [];
    const from = first === "" ? Math.max(0, total - Number(last)) : Number(first);
    const to = first === "" || last === "" ? total : Math.min(total, Number(last) + 1);
    return new HttpResponse(bytes.slice(from, to), {
      status: 206,
      headers: { "Content-Range": `bytes ${from}-${to - 1}/${total}`, "Content-Type": "application/x-ndjson" },
    });
  });
