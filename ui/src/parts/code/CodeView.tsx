import CodeMirror from "@uiw/react-codemirror";
import { useMemo } from "react";

import classes from "./code.module.css";
import { reading } from "./extensions";

/** A file to read. */
export function CodeView({ text, label }: { text: string; label: string }) {
  const extensions = useMemo(() => [reading(label)], [label]);
  return (
    <CodeMirror
      className={classes.code ?? ""}
      value={text}
      theme="none"
      basicSetup={{
        lineNumbers: false,
        highlightActiveLine: false,
        highlightActiveLineGutter: false,
        foldGutter: true,
        autocompletion: false,
        syntaxHighlighting: false,
      }}
      extensions={extensions}
    />
  );
}
