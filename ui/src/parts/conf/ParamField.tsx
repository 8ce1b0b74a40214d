import {
  Autocomplete,
  Checkbox,
  MultiSelect,
  Select,
  TagsInput,
  Textarea,
  TextInput,
  type __BaseInputProps,
} from "@mantine/core";

import type { Draft, Field } from "../../lib/params/fields";
import { preferences } from "../../lib/preferences";
import { strings } from "../../lib/strings";
import { instantAt, localInput } from "../../lib/time";
import { JsonField } from "../../ui/Form";

interface Props {
  field: Field;
  draft: Draft;
  error: string | null;
  onChange: (draft: Draft) => void;
  /** Has the focus when the form opens. */
  first?: boolean;
}

/** The control of a param. It holds what is typed, right or wrong; `error` says what is wrong with it. */
export function ParamField({ field, draft, error, onChange, first = false }: Props) {
  const typed = typeof draft === "string" ? draft : "";
  const shared = {
    label: field.title,
    description: field.description,
    error,
    required: field.required,
    // The server decides; the browser's own bubbles would be in its words.
    withAsterisk: field.required,
    ...(first ? { "data-autofocus": true } : {}),
  } satisfies __BaseInputProps & { label: string; required: boolean };
  const type = (value: string) => onChange(value === "" && field.nullable ? null : value);
  switch (field.kind) {
    case "boolean":
      return (
        <Checkbox
          label={field.title}
          description={field.description}
          error={error}
          checked={draft === true}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
      );
    case "choice":
      return (
        <Select
          {...shared}
          data={field.options.map(({ key, label }) => ({ value: key, label }))}
          value={typed === "" ? null : typed}
          onChange={onChange}
          clearable={field.nullable}
          allowDeselect={field.nullable}
          searchable={field.options.length > 8}
          placeholder={field.nullable ? strings.trigger.nothing : ""}
        />
      );
    case "choices": {
      const data = field.options.map(({ key, label }) => ({ value: key, label }));
      const keys = Array.isArray(draft) ? draft : [];
      if (field.schema.enum !== undefined)
        return <MultiSelect {...shared} data={data} value={keys} onChange={onChange} searchable />;
      // Proposals: values of one's own are allowed too.
      return (
        <TagsInput
          {...shared}
          data={field.options.map(({ label }) => label)}
          value={keys.map((key) => field.options.find((option) => option.key === key)?.label ?? textOf(key))}
          onChange={(labels) =>
            onChange(
              labels.map(
                (label) => field.options.find((option) => option.label === label)?.key ?? JSON.stringify(label),
              ),
            )
          }
        />
      );
    }
    case "date":
      return <TextInput {...shared} type="date" value={typed} onChange={(event) => type(event.currentTarget.value)} />;
    case "time":
      return (
        <TextInput
          {...shared}
          type="time"
          step={1}
          value={typed}
          onChange={(event) => type(withSeconds(event.currentTarget.value))}
        />
      );
    case "datetime":
      return (
        <TextInput
          {...shared}
          type="datetime-local"
          description={[field.description, strings.trigger.inZone(preferences.zone())].filter(Boolean).join(" · ")}
          value={Number.isNaN(Date.parse(typed)) ? "" : localInput(typed)}
          onChange={(event) => type(instantAt(event.currentTarget.value) ?? "")}
        />
      );
    case "lines":
      return (
        <Textarea
          {...shared}
          description={[field.description, strings.trigger.linesHint].filter(Boolean).join(" · ")}
          autosize
          minRows={2}
          maxRows={12}
          value={typed}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      );
    case "multiline":
      return (
        <Textarea
          {...shared}
          autosize
          minRows={3}
          maxRows={16}
          value={typed}
          onChange={(event) => type(event.currentTarget.value)}
        />
      );
    case "json":
      return (
        <JsonField
          label={field.title}
          {...(field.description === null ? {} : { description: field.description })}
          value={typed}
          onChange={onChange}
          error={error}
          required={field.required}
        />
      );
    default:
      return field.options.length > 0 && field.kind === "text" ? (
        <Autocomplete {...shared} data={field.options.map(({ label }) => label)} value={typed} onChange={type} />
      ) : (
        <TextInput
          {...shared}
          inputMode={field.kind === "integer" ? "numeric" : field.kind === "number" ? "decimal" : "text"}
          placeholder={field.nullable ? strings.trigger.nothing : ""}
          value={typed}
          onChange={(event) => type(event.currentTarget.value)}
        />
      );
  }
}

/** Browsers leave out seconds that are zero; the schema wants them. */
const withSeconds = (time: string) => (/^\d{2}:\d{2}$/.test(time) ? `${time}:00` : time);

function textOf(key: string): string {
  try {
    const value = JSON.parse(key) as unknown;
    return typeof value === "string" ? value : key;
  } catch {
    return key;
  }
}

/** Takes both columns of a form. */
export const isWide = ({ kind }: Field) => kind === "json" || kind === "multiline" || kind === "lines";
