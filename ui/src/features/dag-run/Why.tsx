import { Button, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { messageOf } from "../../api/errors";
import { whyQuery, type TaskKey } from "../../api/queries";
import { reasonText } from "../../lib/reasons";
import { strings } from "../../lib/strings";

interface Props {
  task: TaskKey;
  name: string;
  state: string | null;
  /** Ask without being told to. */
  askNow: boolean;
}

/** Why a task does not run, in one sentence per reason; all of them come from the scheduler's own functions. */
export function Why({ task, name, state, askNow }: Props) {
  const [wanted, setWanted] = useState(false);
  const asking = askNow || wanted;
  const { data, error } = useQuery({ ...whyQuery(task, state), enabled: asking });
  if (!asking) {
    return (
      <Button
        size="compact-xs"
        variant="subtle"
        ml="xs"
        aria-label={strings.tasks.askWhy(name)}
        onClick={() => setWanted(true)}
      >
        {strings.tasks.whyShort}
      </Button>
    );
  }
  if (error !== null && data === undefined) return <Text size="xs">{messageOf(error)}</Text>;
  if (data === undefined) return null;
  if (data.reasons.length === 0) return wanted ? <Text size="xs">{strings.tasks.notWaiting}</Text> : null;
  return data.reasons.map((reason) => (
    <Text size="xs" key={JSON.stringify(reason)}>
      {reasonText(reason)}
    </Text>
  ));
}
