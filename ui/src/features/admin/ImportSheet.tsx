import { Button, FileButton, NativeSelect, Stack } from "@mantine/core";
import { useState } from "react";

import { messageOf } from "../../api/errors";
import type { Permission } from "../../api/queries/me";
import { useImport, type IfExists } from "../../api/mutations/admin";
import { strings } from "../../lib/strings";
import { CanButton } from "../../parts/Can";
import { JsonField } from "../../ui/Form";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import { connectionsIn, variablesIn } from "./entities";

/** Many variables or connections from JSON, typed or of a file. */
export function ImportSheet({ what, onClose }: { what: "variables" | "connections"; onClose: () => void }) {
  const words = strings.admin;
  const [text, setText] = useState("");
  const [ifExists, setIfExists] = useState<IfExists>("fail");
  const imported = useImport(what);
  const entities = what === "variables" ? variablesIn(text) : connectionsIn(text);
  const n = entities?.length ?? 0;
  const done = imported.data?.create;
  const needs: Permission = what === "variables" ? "Write:Variable" : "Write:Connection";
  return (
    <Sheet
      opened
      onClose={onClose}
      title={words.import}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {imported.isSuccess ? strings.app.close : strings.app.cancel}
          </Button>
          <CanButton
            needs={needs}
            reason={n === 0 ? words.importNone : null}
            loading={imported.isPending}
            onClick={() => imported.mutate({ entities: entities ?? [], ifExists })}
          >
            {words.importSubmit(n)}
          </CanButton>
        </>
      }
    >
      <Stack gap="sm">
        {imported.error !== null && <Notice error>{messageOf(imported.error)}</Notice>}
        {done != null && <Notice>{words.importDone(done.success.length)}</Notice>}
        {done != null && done.errors.length > 0 && (
          <Notice error>
            {words.importFailed(done.errors.length)} {done.errors.map((error) => errorText(error)).join("; ")}
          </Notice>
        )}
        <FileButton
          accept="application/json,.json"
          onChange={(file) => {
            if (file !== null) void file.text().then(setText);
          }}
        >
          {(props) => (
            <Button {...props} variant="default" size="compact-sm" style={{ alignSelf: "flex-start" }}>
              {words.chooseFile}
            </Button>
          )}
        </FileButton>
        <JsonField
          label={words.import}
          description={words.importHint[what]}
          value={text}
          onChange={setText}
          minRows={10}
          error={text.trim() !== "" && entities === null ? words.importHint[what] : null}
        />
        <NativeSelect
          label={words.ifExists}
          value={ifExists}
          onChange={(event) => setIfExists(event.currentTarget.value as IfExists)}
          data={(["fail", "skip", "overwrite"] as const).map((value) => ({
            value,
            label: words.ifExistsOptions[value],
          }))}
        />
      </Stack>
    </Sheet>
  );
}

const errorText = (error: Record<string, unknown>) =>
  typeof error["error"] === "string" ? error["error"] : JSON.stringify(error);
