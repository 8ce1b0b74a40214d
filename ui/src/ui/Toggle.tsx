/**
 * A switch and a check box made of the browser's own, for rows of long lists: one element each, no component of a library. They can
 * be hit within 24 px, 44 px on touch screens.
 */
import { useEffect, useRef } from "react";

import classes from "./toggle.module.css";

interface Props {
  /** Its name for screen readers. */
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
}

export function Toggle({ label, checked, onChange, ...rest }: Props & { title?: string; disabled?: boolean }) {
  return (
    <input
      type="checkbox"
      // oxlint-disable-next-line jsx-a11y/role-has-required-aria-props -- a check box says it by itself
      role="switch"
      className={classes.toggle}
      aria-label={label}
      checked={checked}
      onChange={(event) => onChange(event.currentTarget.checked)}
      {...rest}
    />
  );
}

/** `some`: neither all nor none of what it stands for. */
export function Tick({ label, checked, onChange, some = false }: Props & { some?: boolean }) {
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (box.current !== null) box.current.indeterminate = some;
  }, [some]);
  return (
    <label className={classes.tick}>
      <input
        ref={box}
        type="checkbox"
        aria-label={label}
        checked={checked}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
    </label>
  );
}
