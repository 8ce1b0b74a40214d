/** The part of Markdown that people use in docs, as a tree. No HTML passes through: what looks like a tag is text. Pure. */

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "strong" | "emphasis"; children: Inline[] }
  | { kind: "link"; to: string; children: Inline[] };

export type Block =
  | { kind: "heading"; level: number; children: Inline[] }
  | { kind: "paragraph"; children: Inline[] }
  | { kind: "code"; text: string }
  | { kind: "quote"; children: Block[] }
  | { kind: "list"; ordered: boolean; items: Inline[][] }
  | { kind: "table"; head: Inline[][]; rows: Inline[][][] }
  | { kind: "rule" };

const LIST = /^\s{0,6}(?:[-*+]|(\d+)[.)])\s+(.*)$/;
const CELLS = /^\s*\|.*\|\s*$/;

export function markdown(source: string): Block[] {
  const lines = source.replaceAll("\r\n", "\n").split("\n");
  const blocks: Block[] = [];
  let at = 0;
  const line = () => lines[at] ?? "";
  while (at < lines.length) {
    const text = line();
    const heading = /^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$/.exec(text);
    if (text.trim() === "") at++;
    else if (/^\s{0,3}(```|~~~)/.test(text)) {
      const fence = text.trim().slice(0, 3);
      const code: string[] = [];
      for (at++; at < lines.length && !line().trim().startsWith(fence); at++) code.push(line());
      at++;
      blocks.push({ kind: "code", text: code.join("\n") });
    } else if (heading !== null) {
      blocks.push({ kind: "heading", level: heading[1]?.length ?? 1, children: inline(heading[2] ?? "") });
      at++;
    } else if (/^\s{0,3}([-*_])(\s*\1){2,}\s*$/.test(text)) {
      blocks.push({ kind: "rule" });
      at++;
    } else if (/^\s{0,3}>/.test(text)) {
      const quoted: string[] = [];
      for (; at < lines.length && /^\s{0,3}>/.test(line()); at++) quoted.push(line().replace(/^\s{0,3}> ?/, ""));
      blocks.push({ kind: "quote", children: markdown(quoted.join("\n")) });
    } else if (CELLS.test(text) && /^\s*\|[\s:|-]+\|\s*$/.test(lines[at + 1] ?? "")) {
      const head = cells(text);
      const rows: Inline[][][] = [];
      for (at += 2; at < lines.length && CELLS.test(line()); at++) rows.push(cells(line()));
      blocks.push({ kind: "table", head, rows });
    } else if (LIST.test(text)) {
      const items: string[] = [];
      const ordered = LIST.exec(text)?.[1] !== undefined;
      for (; at < lines.length && line().trim() !== ""; at++) {
        const item = LIST.exec(line());
        if (item !== null) items.push(item[2] ?? "");
        else items.push(`${items.pop() ?? ""} ${line().trim()}`);
      }
      blocks.push({ kind: "list", ordered, items: items.map(inline) });
    } else {
      const paragraph: string[] = [];
      for (; at < lines.length && line().trim() !== "" && !startsBlock(line()); at++) paragraph.push(line().trim());
      if (paragraph.length === 0) paragraph.push((lines[at++] ?? "").trim());
      blocks.push({ kind: "paragraph", children: inline(paragraph.join(" ")) });
    }
  }
  return blocks;
}

const startsBlock = (text: string) => /^\s{0,3}(#{1,6}\s|>|```|~~~)/.test(text) || LIST.test(text);

const cells = (text: string) =>
  text
    .trim()
    .slice(1, -1)
    .split("|")
    .map((cell) => inline(cell.trim()));

const INLINE =
  /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*(?!\s)(.+?)\*|\b_(.+?)_\b|\[([^\]]*)\]\(\s*([^\s)]+)[^)]*\)|<?(https?:\/\/[^\s<>)]+)>?/;

export function inline(source: string): Inline[] {
  const found: Inline[] = [];
  let rest = source;
  while (rest !== "") {
    const match = INLINE.exec(rest);
    if (match === null) {
      found.push({ kind: "text", text: rest });
      break;
    }
    if (match.index > 0) found.push({ kind: "text", text: rest.slice(0, match.index) });
    const [all, , code, strong, strongToo, emphasis, emphasisToo, label, to, bare] = match;
    if (code !== undefined) found.push({ kind: "code", text: code });
    else if (strong !== undefined || strongToo !== undefined)
      found.push({ kind: "strong", children: inline(strong ?? strongToo ?? "") });
    else if (emphasis !== undefined || emphasisToo !== undefined)
      found.push({ kind: "emphasis", children: inline(emphasis ?? emphasisToo ?? "") });
    else if (to !== undefined)
      found.push(
        isSafe(to) ? { kind: "link", to, children: inline(label ?? "") } : { kind: "text", text: label ?? "" },
      );
    else if (bare !== undefined) found.push({ kind: "link", to: bare, children: [{ kind: "text", text: bare }] });
    rest = rest.slice(match.index + all.length);
  }
  return found;
}

/** Only what leads somewhere: no script in an address. */
const isSafe = (to: string) => /^(https?:\/\/|mailto:|\/(?!\/)|#)/i.test(to);
