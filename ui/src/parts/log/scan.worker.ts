/** Reads a whole log beside the page, which stays quick. One search a worker: the next one is another worker. */
import { scan, type Query } from "../../lib/log/scan";
import type { ReadBytes } from "../../lib/log/pages";

export interface ScanOrder {
  address: string;
  query: Query | null;
  untilLine: number | null;
}

const read =
  (address: string): ReadBytes =>
  async (from, to) => {
    const answer = await fetch(address, { headers: { Range: `bytes=${from ?? 0}-${to - 1}` }, cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const total = /\/(\d+)$/.exec(answer.headers.get("Content-Range") ?? "")?.[1];
    return { bytes, from: from ?? 0, total: Number(total ?? bytes.length) };
  };

addEventListener("message", ({ data }: MessageEvent<ScanOrder>) => {
  void (async () => {
    try {
      for await (const progress of scan(read(data.address), data.query, data.untilLine)) postMessage(progress);
      postMessage("done");
    } catch (thrown) {
      postMessage(`failed: ${String(thrown)}`);
    }
  })();
});
