/** How code looks in both themes: our tokens, no colours of its own. */
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const highlight = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName, tags.labelName], color: "var(--code-key)" },
  { tag: [tags.string, tags.attributeValue, tags.content], color: "var(--code-text)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--code-value)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.keyword, tags.typeName, tags.meta], color: "var(--code-value)" },
  { tag: [tags.punctuation, tags.separator], color: "var(--muted)" },
]);

const look = EditorView.theme({
  "&": { fontSize: "12.5px", backgroundColor: "transparent", color: "var(--mantine-color-text)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mantine-font-family-monospace)", lineHeight: "18px" },
  ".cm-gutters": { backgroundColor: "var(--panel)", color: "var(--muted)", borderRight: "1px solid var(--line)" },
  ".cm-content": { caretColor: "var(--mantine-color-text)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--mantine-color-anchor) 22%, transparent) !important",
  },
  ".cm-changedLine": { backgroundColor: "color-mix(in srgb, var(--state-good) 8%, transparent) !important" },
  "&.cm-merge-a .cm-changedLine, .cm-deletedChunk": {
    backgroundColor: "color-mix(in srgb, var(--state-bad) 8%, transparent) !important",
  },
  ".cm-changedText, .cm-insertedLine .cm-changedText": {
    background: "color-mix(in srgb, var(--state-good) 12%, transparent) !important",
    borderBottom: "2px solid var(--state-good)",
  },
  "&.cm-merge-a .cm-changedText, .cm-deletedText, .cm-deletedChunk .cm-deletedText": {
    background: "color-mix(in srgb, var(--state-bad) 12%, transparent) !important",
    borderBottom: "2px solid var(--state-bad)",
  },
  ".cm-collapsedLines": {
    background: "var(--panel)",
    color: "var(--muted)",
    borderBlock: "1px solid var(--line)",
    padding: "2px 8px",
  },
});

/** To be looked at: it can be focused, selected and searched, not changed. */
export const reading = (label: string): Extension => [
  lineNumbers(),
  yaml(),
  syntaxHighlighting(highlight),
  look,
  EditorState.readOnly.of(true),
  EditorView.editable.of(false),
  EditorView.contentAttributes.of({
    "aria-label": label,
    tabindex: "0",
    role: "textbox",
    "aria-readonly": "true",
    "aria-multiline": "true",
  }),
];
