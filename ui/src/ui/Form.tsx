/**
 * Parts of forms: `FormGrid` lays fields out in two columns where there is room (`<Wide>` takes both), labels above;
 * `JsonField` is a text in JSON that says what is wrong with it while it is typed.
 */
import { Textarea } from "@mantine/core";
import type { ReactNode } from "react";

import { strings } from "../lib/strings";
import classes from "./form.module.css";

export const FormGrid = ({ children }: { children: ReactNode }) => <div className={classes.grid}>{children}</div>;
export const Wide = ({ children }: { children: ReactNode }) => <div className={classes.wide}>{children}</div>;

export type Parsed = { value: unknown; error: null } | { value: undefined; error: string };

/** Nothing is `undefined`; what is no JSON has an error. */
export function parseJson(text: string): Parsed {
  if (text.trim() === "") return { value: undefined, error: null };
  try {
    return { value: JSON.parse(text) as unknown, error: null };
  } catch (error) {
    return { value: undefined, error: strings.app.notJson(error instanceof Error ? error.message : "") };
  }
}

interface JsonFieldProps {
  label: string;
  description?: string;
  value: string;
  onChange: (text: string) => void;
  /** Of the caller, beside that of the JSON itself. */
  error?: string | null;
  minRows?: number;
  required?: boolean;
}

export function JsonField({
  label,
  description,
  value,
  onChange,
  error,
  minRows = 4,
  required = false,
}: JsonFieldProps) {
  return (
    <Textarea
      label={label}
      description={description}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      error={parseJson(value).error ?? error}
      minRows={minRows}
      maxRows={24}
      autosize
      required={required}
      spellCheck={false}
      classNames={{ input: classes.code ?? "" }}
    />
  );
}
