/**
 * Server-sent events (HTML standard §9.2) out of the body of an answer: `EventSource` does not say why it failed, and cannot go on
 * where another one ended.
 */
export interface ServerEvent {
  name: string;
  data: string;
  /** The id to go on from. */
  id: string | null;
}

/** `heard` is called with every piece, also with those that are no event but only a sign of life. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  heard: () => void = () => {},
): AsyncGenerator<ServerEvent, void, undefined> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let text = "";
  let id: string | null = null;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const blocks = (text + value).replaceAll("\r\n", "\n").split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parse(block);
        id = event.id ?? id;
        // Without data it is no event, though its id counts.
        if (event.data !== null) yield { name: event.name, data: event.data, id };
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function parse(block: string) {
  let name = "message";
  let id: string | null = null;
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (field === "event") name = value ?? "";
    else if (field === "id") id = value ?? "";
    else if (field === "data") data.push(value ?? "");
  }
  return { name, id, data: data.length === 0 ? null : data.join("\n") };
}
