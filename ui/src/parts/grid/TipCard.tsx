import { useLayoutEffect, useRef, useState, type ReactNode } from "react";

import classes from "./tip.module.css";

/** A card beside the thing it is about (`box`), never over it. The pointer goes through it. */
export function TipCard({ box, children }: { box: DOMRect; children: ReactNode }) {
  const card = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState<{ left: number; top: number } | null>(null);
  useLayoutEffect(() => {
    const element = card.current;
    if (element === null) return;
    const place = () => {
      const { offsetWidth: width, offsetHeight: height } = element;
      const below = box.bottom + 6 + height <= window.innerHeight;
      setAt({
        left: Math.max(8, Math.min(box.left - 12, window.innerWidth - width - 8)),
        top: below ? box.bottom + 6 : Math.max(8, box.top - 6 - height),
      });
    };
    place();
    // A sentence that arrives later makes it higher.
    const observer = new ResizeObserver(place);
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);
  return (
    <div
      ref={card}
      className={classes.tip}
      role="tooltip"
      style={at === null ? { visibility: "hidden", left: 0, top: 0 } : at}
    >
      {children}
    </div>
  );
}
