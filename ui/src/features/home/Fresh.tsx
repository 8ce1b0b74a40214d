import { Code, Text } from "@mantine/core";

import { strings } from "../../lib/strings";
import { CopyButton } from "../../ui/CopyButton";
import { PageHead } from "../../ui/Page";
import classes from "./home.module.css";

const COMMANDS = `cat > dags/hello.yaml <<'EOF'
dag_id: hello
tasks:
  - id: greet
    bash: echo hello
EOF
updraft dags unpause hello
updraft dags trigger hello`;

/** An installation without a DAG: the way to a first run. */
export function Fresh() {
  const words = strings.home;
  return (
    <>
      <PageHead title={words.freshTitle} crumb={words.title} />
      <Text mb="xs">{words.freshText}</Text>
      <div className={classes.commands}>
        <Code block>{COMMANDS}</Code>
        <CopyButton text={COMMANDS} label={strings.app.copy} />
      </div>
      <Text mt="xs">{words.freshThen}</Text>
    </>
  );
}
