/** The pages that can be gone to from anywhere: for the rail, the palette and the keys. */
import type { IconName } from "../../lib/icons";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";

export interface Page {
  id: keyof typeof strings.frame.nav;
  to: string;
  icon: IconName;
  /** Behind `g`. */
  key?: string;
}

export const MAIN: Page[] = [
  { id: "home", to: paths.home(), icon: "home", key: "h" },
  { id: "dags", to: paths.dags(), icon: "dags", key: "d" },
  { id: "runs", to: paths.runs(), icon: "runs", key: "r" },
  { id: "nodes", to: paths.nodes(), icon: "nodes", key: "n" },
  { id: "assets", to: paths.assets(), icon: "assets", key: "a" },
];

export const ADMIN: Page[] = [
  { id: "importErrors", to: paths.importErrors(), icon: "warning", key: "i" },
  { id: "pools", to: paths.pools(), icon: "assets", key: "p" },
  { id: "variables", to: paths.variables(), icon: "edit", key: "v" },
  { id: "connections", to: paths.connections(), icon: "key", key: "c" },
  { id: "users", to: paths.users(), icon: "user", key: "u" },
  { id: "tokens", to: paths.tokens(), icon: "key" },
  { id: "audit", to: paths.audit(), icon: "log", key: "l" },
  { id: "config", to: paths.config(), icon: "admin" },
  { id: "about", to: paths.about(), icon: "info" },
];

export const nameOf = ({ id }: Page) => strings.frame.nav[id];
