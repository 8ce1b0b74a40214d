import { getChunks, goToNextChunk, goToPreviousChunk, MergeView, unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { useEffect, useImperativeHandle, useRef, type Ref } from "react";

import classes from "./code.module.css";
import { reading } from "./extensions";

export interface DiffHandle {
  next: () => void;
  before: () => void;
}

interface Props {
  before: string;
  after: string;
  sideBySide: boolean;
  label: string;
  onChanges: (count: number) => void;
  ref?: Ref<DiffHandle>;
}

/** Lines around a change that are shown; the rest folds. */
const AROUND = 4;

/** What changed between two texts, opened at the first change. */
export function DiffView({ before, after, sideBySide, label, onChanges, ref }: Props) {
  const parent = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const report = useRef(onChanges);
  useEffect(() => {
    report.current = onChanges;
  });
  useEffect(() => {
    if (parent.current === null) return;
    const collapseUnchanged = { margin: AROUND, minSize: 8 };
    let main: EditorView;
    let destroy: () => void;
    if (sideBySide) {
      const merge = new MergeView({
        parent: parent.current,
        a: { doc: before, extensions: [reading(label), EditorView.lineWrapping] },
        b: { doc: after, extensions: [reading(label), EditorView.lineWrapping] },
        collapseUnchanged,
        gutter: true,
      });
      main = merge.b;
      destroy = () => merge.destroy();
    } else {
      main = new EditorView({
        parent: parent.current,
        state: EditorState.create({
          doc: after,
          extensions: [
            reading(label),
            EditorView.lineWrapping,
            unifiedMergeView({ original: before, mergeControls: false, collapseUnchanged, gutter: true }),
          ],
        }),
      });
      destroy = () => main.destroy();
    }
    view.current = main;
    const chunks = getChunks(main.state)?.chunks ?? [];
    report.current(chunks.length);
    const first = chunks[0];
    if (first !== undefined) {
      main.dispatch({ selection: { anchor: first.fromB } });
      // Within its own box: the page itself stays where it is.
      const box = parent.current;
      main.requestMeasure({
        read: () => main.lineBlockAt(first.fromB).top,
        write: (top) => {
          box.scrollTop = Math.max(0, top - 80);
        },
      });
    }
    return () => {
      view.current = null;
      destroy();
    };
  }, [before, after, sideBySide, label]);
  useImperativeHandle(ref, () => ({
    next: () => void (view.current && goToNextChunk(view.current)),
    before: () => void (view.current && goToPreviousChunk(view.current)),
  }));
  return <div ref={parent} className={classes.code} role="group" aria-label={label} />;
}
