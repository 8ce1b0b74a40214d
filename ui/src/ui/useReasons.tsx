/**
 * One tooltip for all that is disabled within an element: `data-reason` says why, on hover, focus and touch. For long lists, where
 * each row would have tooltips of its own. `const [reasons, tip] = useReasons()`: the first is spread on the element, the second
 * put anywhere.
 */
import { Portal } from "@mantine/core";
import { useEffect, useMemo, useState, type CSSProperties, type ReactNode, type SyntheticEvent } from "react";

import classes from "./reasons.module.css";

interface Shown {
  text: string;
  style: CSSProperties;
}

const GAP = 6;

/** Below it, or above where there is no room; towards the middle of the window. */
function beside({ left, right, top, bottom }: DOMRect): CSSProperties {
  const { innerWidth, innerHeight } = window;
  return {
    ...(left + right > innerWidth ? { right: innerWidth - right } : { left }),
    ...(bottom > innerHeight - 60 ? { bottom: innerHeight - top + GAP } : { top: bottom + GAP }),
  };
}

export function useReasons() {
  const [shown, setShown] = useState<Shown | null>(null);
  const events = useMemo(() => {
    const show = ({ target }: SyntheticEvent<HTMLElement>) => {
      const found = target instanceof Element ? target.closest<HTMLElement>("[data-reason]") : null;
      if (found === null) return setShown(null);
      setShown({ text: found.dataset.reason ?? "", style: beside(found.getBoundingClientRect()) });
    };
    const hide = () => setShown(null);
    return { onMouseOver: show, onMouseLeave: hide, onFocus: show, onBlur: hide, onScroll: hide };
  }, []);
  const isShown = shown !== null;
  useEffect(() => {
    if (!isShown) return;
    const press = ({ key }: KeyboardEvent) => {
      if (key === "Escape") setShown(null);
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [isShown]);
  const tip: ReactNode = shown !== null && (
    <Portal>
      <div role="tooltip" className={classes.tip} style={shown.style}>
        {shown.text}
      </div>
    </Portal>
  );
  return [events, tip] as const;
}
