/** A schedule in words: "Every 15 minutes", "每隔 15 分钟"; the expression itself is in the title. */
import { useSyncExternalStore } from "react";

import { languageTag, preferences } from "../lib/preferences";
import { strings } from "../lib/strings";

interface Scheduled {
  timetable_summary: string | null;
  timetable_description: string | null;
}

type Cron = (expression: string) => string;

/** The server says it in English. For Chinese a script is loaded that knows cron; once, for all rows of a list. */
let inChinese: Cron | null = null;
let isAsked = false;
const waiting = new Set<() => void>();

async function load() {
  const [{ default: cron }] = await Promise.all([import("cronstrue"), import("cronstrue/locales/zh_CN")]);
  inChinese = (expression) =>
    cron.toString(expression, { locale: "zh_CN", use24HourTimeFormat: true, throwExceptionOnParseError: true });
  for (const tell of waiting) tell();
}

function wait(tell: () => void) {
  waiting.add(tell);
  if (!isAsked) {
    isAsked = true;
    load().catch(() => {
      // The expression stays as it is, until the next page that shows one.
      isAsked = false;
    });
  }
  return () => waiting.delete(tell);
}

const known = () => inChinese;
const nobody = () => () => {};

const looksLikeCron = (text: string) => /^\S+(\s+\S+){4,5}$/.test(text.trim());

export function ScheduleWords({ timetable_summary: summary, timetable_description: description }: Scheduled) {
  const isCron = summary !== null && looksLikeCron(summary);
  const isWanted = isCron && preferences.language() === "zh";
  const toChinese = useSyncExternalStore(isWanted ? wait : nobody, known);
  if (summary === null) return strings.dags.noSchedule;
  if (summary === "Asset") return strings.dag.onAssets;
  if (summary === "@continuous") return strings.dag.continuous;
  let words = description || summary;
  if (preferences.language() === "zh") {
    words = summary;
    try {
      if (isCron && toChinese !== null) words = toChinese(summary);
    } catch {
      // An expression that only the server understands is shown as it is.
    }
  }
  return (
    <span title={summary} lang={words === summary ? undefined : languageTag()}>
      {words}
    </span>
  );
}
