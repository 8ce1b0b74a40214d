/** A schedule in words: "Every 15 minutes", "每隔 15 分钟"; the expression itself is in the title. */
import { useQuery } from "@tanstack/react-query";

import { languageTag, preferences } from "../lib/preferences";
import { strings } from "../lib/strings";

interface Scheduled {
  timetable_summary: string | null;
  timetable_description: string | null;
}

/** The server says it in English. For Chinese a script is loaded that knows cron. */
const cronQuery = {
  queryKey: ["words", "cron"],
  queryFn: async () => {
    const [{ default: cron }] = await Promise.all([import("cronstrue"), import("cronstrue/locales/zh_CN")]);
    return (expression: string) =>
      cron.toString(expression, { locale: "zh_CN", use24HourTimeFormat: true, throwExceptionOnParseError: true });
  },
  staleTime: Infinity,
  gcTime: Infinity,
};

const looksLikeCron = (text: string) => /^\S+(\s+\S+){4,5}$/.test(text.trim());

export function ScheduleWords({ timetable_summary: summary, timetable_description: description }: Scheduled) {
  const isCron = summary !== null && looksLikeCron(summary);
  const { data: inChinese } = useQuery({ ...cronQuery, enabled: isCron && preferences.language() === "zh" });
  if (summary === null) return strings.dags.noSchedule;
  if (summary === "Asset") return strings.dag.onAssets;
  if (summary === "@continuous") return strings.dag.continuous;
  let words = description || summary;
  if (preferences.language() === "zh") {
    words = summary;
    try {
      if (isCron && inChinese !== undefined) words = inChinese(summary);
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
