/** The failure that a log ends with: what was thrown, and by which frames. Python, Java and JavaScript; else the last error line. */
import { plain, type LogLine } from "./lines";

export interface Frame {
  file: string;
  line: number | null;
  /** The function. */
  name: string | null;
  /** The source line, where the log has it. */
  code: string | null;
  /** Not of a library, an interpreter or a run-time. */
  own: boolean;
  /** Its place among the lines that were searched. */
  index: number;
}

export interface Failure {
  /** `ConnectionError`, or null when only a line is known. */
  kind: string | null;
  message: string;
  /** As the log has them: Python's last is the one that threw, the others' first. */
  frames: Frame[];
  /** The frame to look at first: the own one nearest to the throw. */
  culprit: Frame | null;
  /** Where the sentence stands, and where its traceback begins. */
  index: number;
  begins: number;
  /** Sentences of what it was thrown because of, or while handling. */
  causes: string[];
}

const LIBRARY =
  /(?:^|[\\/])(?:site-packages|dist-packages|node_modules)[\\/]|^<frozen |^node:|[\\/]lib[\\/]python\d|^(?:\/usr\/lib|\/usr\/local\/lib|\/opt\/python)|[\\/]airflow[\\/]sdk[\\/]/;
const JAVA_LIBRARY = /^(?:java|javax|jdk|sun|com\.sun|kotlin|scala|org\.(?:springframework|apache|junit|eclipse))\./;

const HEADER = /Traceback \(most recent call last\):\s*$/;
const FRAME = /^\s*(?:\|\s*)?File "(.+?)", line (\d+)(?:, in (.+))?$/;
const THROWN = /^(?:\+\s*|\|\s*)?((?:[A-Za-z_][\w]*\.)*[A-Za-z_]\w*)(?::\s?(.*))?$/;
const NAMED =
  /(?:Error|Exception|Exit|Interrupt|Warning|Failure|Failed|Timeout|Iteration|Skip|Fail|Denied|NotFound)\w*$/;
const CHAINED = /^(?:During handling of the above exception|The above exception was the direct cause)/;
const JS_FRAME = /^\s+at (?:(?:async )?(.+?) )?\(?((?:file:\/\/|node:|\/|\w:\\)[^()]*?):(\d+):\d+\)?$/;
const JAVA_FRAME = /^\s+at (?:[\w.]+\/)?([\w.$<>]+)\(([^():]+)(?::(\d+))?\)$/;
const SENTENCE =
  /^(?:Exception in thread "[^"]*" )?(?:Uncaught )?((?:[A-Za-z_$][\w$]*\.)*[A-Za-z_$][\w$]*(?:Error|Exception|Throwable)\w*)(?:: ?(.*))?$/;
const BECAUSE = /^Caused by: (.*)$/;

/** The last failure of a log, or null when nothing in it looks like one. */
export function findFailure(lines: readonly LogLine[]): Failure | null {
  const texts = lines.map(plain);
  for (let index = texts.length - 1; index >= 0; index--) {
    const text = texts[index] ?? "";
    if (HEADER.test(text)) {
      const found = python(texts, index);
      if (found !== null) return { ...found, causes: earlier(texts, index) };
    }
    if (JS_FRAME.test(text) || JAVA_FRAME.test(text)) {
      const found = stack(texts, index);
      if (found !== null) return found;
    }
  }
  return lastError(lines, texts);
}

function python(texts: string[], header: number): Failure | null {
  const frames: Frame[] = [];
  let index = header + 1;
  for (; index < texts.length; index++) {
    const text = texts[index] ?? "";
    const frame = FRAME.exec(text);
    if (frame !== null) {
      const file = frame[1] ?? "";
      frames.push({
        file,
        line: Number(frame[2]),
        name: frame[3] ?? null,
        code: null,
        own: !LIBRARY.test(file),
        index,
      });
    } else if (/^\s/.test(text) || text === "") {
      const last = frames.at(-1);
      if (last !== undefined && last.code === null && /[^\s^~|]/.test(text)) last.code = text.trim();
    } else break;
  }
  const sentence = texts[index];
  if (sentence === undefined || frames.length === 0) return null;
  const thrown = THROWN.exec(sentence);
  const isNamed = thrown !== null && (thrown[2] !== undefined || NAMED.test(thrown[1] ?? ""));
  // The message may go on: what follows until the next thing that begins like a line of its own.
  const rest: string[] = [];
  for (let next = index + 1; next < texts.length && rest.length < 20; next++) {
    const text = texts[next] ?? "";
    if (text === "" || CHAINED.test(text) || HEADER.test(text) || startsAnew(text)) break;
    rest.push(text);
  }
  return {
    kind: isNamed ? (thrown[1] ?? null) : null,
    message: [isNamed ? (thrown[2] ?? "") : sentence, ...rest].join("\n").trim(),
    frames,
    culprit: frames.findLast((frame) => frame.own) ?? null,
    index,
    begins: header,
    causes: [],
  };
}

/** A record of a logger, or of the node: not more of a message. */
const startsAnew = (text: string) =>
  /^(?:\[|\{|\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|(?:CRITICAL|ERROR|WARNING|INFO|DEBUG)\b|::)/.test(text) ||
  /^(?:The (?:task|process|command|container)\b|Process exited|Command exited|Exit)/i.test(text);

/** Sentences of the tracebacks that a Python one is chained to, nearest first. */
function earlier(texts: string[], header: number): string[] {
  const causes: string[] = [];
  let above = header;
  for (;;) {
    let chain = above - 1;
    while (chain > 0 && (texts[chain] ?? "").trim() === "") chain--;
    if (!CHAINED.test(texts[chain] ?? "")) return causes;
    let sentence = chain - 1;
    while (sentence > 0 && (texts[sentence] ?? "").trim() === "") sentence--;
    let begin = sentence;
    while (begin > 0 && !HEADER.test(texts[begin] ?? "")) begin--;
    const found = HEADER.test(texts[begin] ?? "") ? python(texts, begin) : null;
    if (found === null) return causes;
    causes.push(sentenceOf(found));
    above = begin;
  }
}

/** `index` is the last frame of a stack of Java or JavaScript, whose sentence stands above its first. */
function stack(texts: string[], index: number): Failure | null {
  let top = index;
  const isStack = (text: string) =>
    JS_FRAME.test(text) || JAVA_FRAME.test(text) || BECAUSE.test(text) || /^\s+\.\.\. \d+ more$/.test(text);
  while (top > 0 && isStack(texts[top - 1] ?? "")) top--;
  // A message of several lines stands between the sentence and its stack.
  let sentence = top - 1;
  while (sentence >= Math.max(0, top - 6) && !SENTENCE.test(texts[sentence] ?? "")) sentence--;
  const thrown = SENTENCE.exec(texts[sentence] ?? "");
  if (thrown === null) return null;
  const frames: Frame[] = [];
  const causes: string[] = [];
  for (let at = top; at <= index; at++) {
    const text = texts[at] ?? "";
    const js = JS_FRAME.exec(text);
    const java = js === null ? JAVA_FRAME.exec(text) : null;
    if (js !== null) {
      const file = js[2] ?? "";
      frames.push({ file, line: Number(js[3]), name: js[1] ?? null, code: null, own: !LIBRARY.test(file), index: at });
    } else if (java !== null) {
      const name = java[1] ?? "";
      const line = java[3] === undefined ? null : Number(java[3]);
      frames.push({ file: java[2] ?? "", line, name, code: null, own: !JAVA_LIBRARY.test(name), index: at });
    } else {
      const cause = BECAUSE.exec(text)?.[1];
      if (cause !== undefined) causes.push(cause);
    }
  }
  const message = [thrown[2] ?? "", ...texts.slice(sentence + 1, top)].join("\n").trim();
  const culprit = frames.find((frame) => frame.own) ?? null;
  return { kind: thrown[1] ?? null, message, frames, culprit, index: sentence, begins: sentence, causes };
}

/** Loggers of the node, which says how a process ended; what the process said is the better answer. */
const NODE_LOGGERS = /^(?:executor|updraft|webserver|supervisor)/;

function lastError(lines: readonly LogLine[], texts: string[]): Failure | null {
  const isError = (line: LogLine, index: number) => line.level === "error" && (texts[index] ?? "").trim() !== "";
  const isOwn = (line: LogLine, index: number) => isError(line, index) && !NODE_LOGGERS.test(line.logger ?? "");
  let index = lines.findLastIndex((line, at) => isOwn(line, at) && line.logger === "task.stderr");
  if (index < 0) index = lines.findLastIndex(isOwn);
  if (index < 0) index = lines.findLastIndex(isError);
  if (index < 0) return null;
  const message = (texts[index] ?? "").trim();
  return { kind: null, message, frames: [], culprit: null, index, begins: index, causes: [] };
}

/** `ConnectionError: POST … → 503`. */
export const sentenceOf = ({ kind, message }: Pick<Failure, "kind" | "message">) =>
  kind === null ? message : message === "" ? kind : `${kind}: ${message}`;

/** `payments.py:22`: of a path only what people look for. */
export const place = ({ file, line }: Frame) =>
  `${file.split(/[\\/]/).at(-1) ?? file}${line === null ? "" : `:${line}`}`;
