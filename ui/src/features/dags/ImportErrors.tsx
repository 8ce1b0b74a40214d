import { Alert, Code, List, Text } from "@mantine/core";

import type { ImportError } from "../../api/client";
import { strings } from "../../lib/strings";
import { Time } from "../../ui/Time";

/** Files that could not be read as DAGs, above everything else, each with its whole message. */
export function ImportErrors({ errors, total }: { errors: ImportError[]; total: number }) {
  if (errors.length === 0) return null;
  const words = strings.dags;
  return (
    <Alert
      role="region"
      color="red"
      variant="outline"
      mb="md"
      title={words.importErrors(total)}
      aria-label={words.importErrors(total)}
      styles={{
        body: { minWidth: 0 },
        message: { color: "var(--mantine-color-text)" },
        title: { color: "var(--mantine-color-text)" },
      }}
    >
      <Text size="sm" mb="xs">
        {words.importErrorHint}
      </Text>
      <List
        listStyleType="none"
        spacing="sm"
        styles={{ itemWrapper: { display: "block" }, itemLabel: { display: "block" } }}
      >
        {errors.map((error) => (
          <List.Item key={error.import_error_id}>
            <details open={errors.length <= 3}>
              <summary>
                <strong>{error.filename}</strong>{" "}
                <Text span size="xs" c="dimmed">
                  {error.bundle_name} · <Time at={error.timestamp} short />
                </Text>
              </summary>
              <Code block mt={4} tabIndex={0} style={{ maxHeight: 320, overflow: "auto" }}>
                {error.stack_trace}
              </Code>
            </details>
          </List.Item>
        ))}
      </List>
    </Alert>
  );
}
