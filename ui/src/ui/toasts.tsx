/**
 * What an action led to, at the lower right for some seconds: `toast({ text: strings.x.cleared(4), to: paths.run(…), link: "…" })`;
 * errors (`error: true`) stay until closed. Said to screen readers. For what belongs to a form use `Notice` inside of it.
 */
import { Anchor, CloseButton } from "@mantine/core";
import { useSyncExternalStore } from "react";
import { Link } from "react-router";

import { strings } from "../lib/strings";
import classes from "./toasts.module.css";

export interface Toast {
  text: string;
  error?: boolean;
  /** A link to what was made. */
  to?: string;
  link?: string;
}

const SHOWN_MS = 6_000;

let shown: readonly (Toast & { id: number })[] = [];
let next = 1;
const listeners = new Set<() => void>();

function set(value: typeof shown) {
  shown = value;
  for (const listener of listeners) listener();
}

const drop = (id: number) => set(shown.filter((one) => one.id !== id));

export function toast(what: Toast) {
  const id = next;
  next += 1;
  set([...shown.slice(-3), { ...what, id }]);
  if (what.error !== true) setTimeout(() => drop(id), SHOWN_MS);
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => void listeners.delete(listener);
};

/** Once per page, in the frame. */
export function Toasts() {
  const list = useSyncExternalStore(subscribe, () => shown);
  return (
    <div className={classes.toasts}>
      <div role="status" aria-live="polite">
        {list
          .filter(({ error }) => error !== true)
          .map((one) => (
            <One key={one.id} {...one} />
          ))}
      </div>
      <div role="alert">
        {list
          .filter(({ error }) => error === true)
          .map((one) => (
            <One key={one.id} {...one} />
          ))}
      </div>
    </div>
  );
}

function One({ id, text, error, to, link }: Toast & { id: number }) {
  return (
    <div className={classes.toast} data-error={error || undefined}>
      <span className={classes.text}>
        {text}{" "}
        {to !== undefined && (
          <Anchor component={Link} to={to} underline="always" onClick={() => drop(id)}>
            {link}
          </Anchor>
        )}
      </span>
      <CloseButton size="sm" aria-label={strings.app.close} onClick={() => drop(id)} />
    </div>
  );
}
