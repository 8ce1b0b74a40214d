/** The quick layout, beside the page. */
import { layers } from "../../lib/graph/layers";
import type { Drawn } from "../../lib/graph/model";

self.addEventListener("message", ({ data }: MessageEvent<Drawn>) => self.postMessage(layers(data), { transfer: [] }));
