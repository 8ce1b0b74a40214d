import { TextInput } from "@mantine/core";
import { useEffect, useState } from "react";

import { Icon } from "./icons";

const TYPING_MS = 200;

/** A box for a filter that is kept in the address: what is typed is asked for after a moment, and no letter is lost meanwhile. */
export function SearchBox({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string;
  onChange: (text: string) => void;
}) {
  const [typed, setTyped] = useState<string | null>(null);
  useEffect(() => {
    if (typed === null || typed === value) return;
    const timer = setTimeout(() => onChange(typed), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed, value, onChange]);
  return (
    <TextInput
      size="xs"
      type="search"
      w={280}
      maw="100%"
      aria-label={label}
      placeholder={label}
      leftSection={<Icon name="search" size={14} />}
      value={typed ?? value}
      onChange={(event) => setTyped(event.currentTarget.value)}
    />
  );
}
