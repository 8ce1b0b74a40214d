/**
 * The catalogue: every word of the dashboard, in English and Simplified Chinese.
 *
 * - One file per area beside this one, each with `en` and `zh: typeof en`: a missing or a surplus key does not compile.
 * - Read it as `strings.area.key` **while rendering**: `strings` is a live binding that a change of the language replaces, and the
 *   pages are mounted anew then. `const words = strings.area` at the top of a module would keep the old language (a test finds it).
 * - A text with a value in it is a function; English plurals by `count()` and `plural()` of `plural.ts` (Intl.PluralRules).
 * - Not translated: identifiers, logs, tracebacks, YAML, conf, and what the server says in its errors.
 *
 * `strings.test.ts` finds values that are not translated, words that nothing uses, and literal text in JSX.
 */
import { preferences, type Language } from "../preferences";
import * as about from "./about";
import * as admin from "./admin";
import * as app from "./app";
import * as assets from "./assets";
import * as audit from "./audit";
import * as backfills from "./backfills";
import * as clear from "./clear";
import * as code from "./code";
import * as dag from "./dag";
import * as dags from "./dags";
import * as details from "./details";
import * as errors from "./errors";
import * as frame from "./frame";
import * as graph from "./graph";
import * as home from "./home";
import * as login from "./login";
import * as logs from "./logs";
import * as reasons from "./reasons";
import * as run from "./run";
import * as runTypes from "./runTypes";
import * as runs from "./runs";
import * as states from "./states";
import * as tasks from "./tasks";
import * as trigger from "./trigger";

const areas = {
  about,
  admin,
  app,
  assets,
  audit,
  backfills,
  clear,
  code,
  dag,
  dags,
  details,
  errors,
  frame,
  graph,
  home,
  login,
  logs,
  reasons,
  run,
  runTypes,
  runs,
  states,
  tasks,
  trigger,
};

type Areas = typeof areas;
export type Strings = { [Area in keyof Areas]: Areas[Area]["en"] };

const of = (language: Language) =>
  Object.fromEntries(Object.entries(areas).map(([area, words]) => [area, words[language]])) as Strings;

/** For tests; pages read `strings`. */
export const catalogue: Record<Language, Strings> = { en: of("en"), zh: of("zh") };

export let strings: Strings = catalogue[preferences.language()];
preferences.subscribe(() => {
  strings = catalogue[preferences.language()];
});

export type StateWord = keyof Strings["states"];
export { type Params } from "./reasons";
