import { useCallback, useLayoutEffect, useRef, useState, type RefObject } from "react";

export interface Range {
  from: number;
  /** Not included. */
  to: number;
}

export interface View {
  left: number;
  top: number;
  width: number;
  height: number;
}

const EMPTY: View = { left: 0, top: 0, width: 0, height: 0 };

/** The part of a scrolling box that is seen. Changes only when it has moved by `step` pixels: what is drawn reaches that far beyond. */
export function useView(ref: RefObject<HTMLElement | null>, step: number) {
  const [view, setView] = useState<View>(EMPTY);
  const frame = useRef(0);
  const read = useCallback(() => {
    const box = ref.current;
    if (box === null) return;
    const snap = (value: number) => Math.floor(value / step) * step;
    const next = {
      left: snap(box.scrollLeft),
      top: snap(box.scrollTop),
      width: box.clientWidth,
      height: box.clientHeight,
    };
    setView((now) =>
      now.left === next.left && now.top === next.top && now.width === next.width && now.height === next.height
        ? now
        : next,
    );
  }, [ref, step]);
  const onScroll = useCallback(() => {
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(read);
  }, [read]);
  useLayoutEffect(() => {
    const box = ref.current;
    if (box === null) return;
    read();
    const observer = new ResizeObserver(read);
    observer.observe(box);
    return () => {
      observer.disconnect();
      cancelAnimationFrame(frame.current);
    };
  }, [ref, read]);
  return { view, onScroll, read };
}

/** Which of `count` things of `size` pixels lie between two places, and `extra` on each side. */
export function rangeOf(start: number, length: number, size: number, count: number, extra: number): Range {
  const from = Math.max(0, Math.floor(start / size) - extra);
  const to = Math.min(count, Math.ceil((start + length) / size) + extra);
  return { from: Math.min(from, count), to: Math.max(to, Math.min(from, count)) };
}

/** How high a box may be to end at the bottom of the window when the page is not scrolled. */
export function useRest(ref: RefObject<HTMLElement | null>, least: number, below: number) {
  const [height, setHeight] = useState<number>(600);
  useLayoutEffect(() => {
    const measure = () => {
      const box = ref.current;
      if (box === null) return;
      const top = box.getBoundingClientRect().top + window.scrollY;
      setHeight(Math.max(least, Math.floor(window.innerHeight - top - below)));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(document.body);
    window.addEventListener("resize", measure);
    return () => {
      observer.disconnect();
      window.removeEventListener("resize", measure);
    };
  }, [ref, least, below]);
  return height;
}
