/** Copies a text; says so for a moment. `label` is what is copied ("Copy the run id"). */
import { ActionIcon, Tooltip } from "@mantine/core";
import { useState } from "react";

import { strings } from "../lib/strings";
import { Icon } from "./icons";

const SAID_MS = 1_500;

export async function copyText(text: string) {
  if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text);
  // A page without TLS has no clipboard of its own.
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function CopyButton({
  text,
  label,
  size = "sm",
}: {
  text: string | (() => string);
  label: string;
  size?: string;
}) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    void copyText(typeof text === "string" ? text : text()).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), SAID_MS);
    });
  };
  return (
    <Tooltip label={copied ? strings.app.copied : label} openDelay={copied ? 0 : 300}>
      <ActionIcon variant="subtle" color="gray" c="dimmed" size={size} aria-label={label} onClick={copy}>
        <Icon name={copied ? "check" : "copy"} size={14} />
        <span className="sr-only" role="status">
          {copied ? strings.app.copied : ""}
        </span>
      </ActionIcon>
    </Tooltip>
  );
}
