import { Autocomplete, Button, NumberInput, PasswordInput, Stack, Textarea, TextInput } from "@mantine/core";
import { useState } from "react";

import { ApiError, messageOf } from "../../api/errors";
import { useSaveConnection, useTestConnection, type ConnectionFields } from "../../api/mutations/admin";
import { strings } from "../../lib/strings";
import { CanButton } from "../../parts/Can";
import { FormGrid, JsonField, parseJson, Wide } from "../../ui/Form";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import { fieldsOf, TYPES, typeNames, type Field } from "./connectionTypes";

export interface Connection {
  connection_id: string;
  conn_type: string;
  description: string | null;
  host: string | null;
  login: string | null;
  schema: string | null;
  port: number | null;
  /** `***` when there is one. */
  password: string | null;
  extra: string | null;
}

const TEXTS = ["description", "host", "login", "schema"] as const;

/** Makes or changes a connection; tests it with what the form holds. */
export function ConnectionForm({ connection, onClose }: { connection: Connection | null; onClose: () => void }) {
  const words = strings.admin.connections;
  const isNew = connection === null;
  const save = useSaveConnection();
  const test = useTestConnection();
  const [fields, setFields] = useState({
    connection_id: connection?.connection_id ?? "",
    conn_type: connection?.conn_type ?? "",
    description: connection?.description ?? "",
    host: connection?.host ?? "",
    login: connection?.login ?? "",
    schema: connection?.schema ?? "",
    port: connection?.port == null ? "" : String(connection.port),
    password: "",
    extra: connection?.extra ?? "",
  });
  const set = (change: Partial<typeof fields>) => setFields({ ...fields, ...change });
  const chooseType = (conn_type: string) => {
    const extra = isNew && fields.extra === "" ? (TYPES[conn_type]?.extra ?? "") : fields.extra;
    set({ conn_type, extra });
  };
  const shown = new Set<Field>([
    ...fieldsOf(fields.conn_type),
    // What is filled is never hidden.
    ...(["host", "login", "schema", "port"] as const).filter((field) => fields[field] !== ""),
    ...(connection?.password == null ? [] : (["password"] as const)),
  ]);
  const extra = parseJson(fields.extra);
  const isExtraBad =
    extra.value !== undefined &&
    (extra.value === null || typeof extra.value !== "object" || Array.isArray(extra.value));

  /** What is sent: empty texts are null, and an unchanged secret is not sent. */
  const whole = (): { body: ConnectionFields; mask: string[] } => {
    const body: ConnectionFields = { connection_id: fields.connection_id, conn_type: fields.conn_type };
    for (const field of TEXTS) body[field] = fields[field] === "" ? null : fields[field];
    body.port = fields.port === "" ? null : Number(fields.port);
    const mask = ["conn_type", ...TEXTS, "port"];
    if (fields.password !== "") {
      body.password = fields.password;
      mask.push("password");
    }
    if (fields.extra !== (connection?.extra ?? "")) {
      body.extra = fields.extra === "" ? null : fields.extra;
      mask.push("extra");
    }
    return { body, mask };
  };
  const submit = () => {
    const { body, mask } = whole();
    save.mutate({ fields: body, isNew, mask }, { onSuccess: onClose });
  };
  return (
    <Sheet
      opened
      onClose={onClose}
      title={isNew ? words.createTitle : words.editTitle(connection.connection_id)}
      width={640}
      footer={
        <>
          <CanButton
            needs="Write:Connection"
            variant="default"
            mr="auto"
            loading={test.isPending}
            reason={fields.conn_type === "" ? words.type : null}
            onClick={() => test.mutate(whole().body)}
          >
            {words.test}
          </CanButton>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton
            needs="Write:Connection"
            type="submit"
            form="connection"
            loading={save.isPending}
            reason={extra.error ?? (isExtraBad ? words.badExtra : null)}
          >
            {isNew ? words.createSubmit : strings.admin.save}
          </CanButton>
        </>
      }
    >
      <form
        id="connection"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <Stack gap="sm">
          {save.error !== null && <Notice error>{messageOf(save.error)}</Notice>}
          <TestResult test={test} />
          <FormGrid>
            <TextInput
              label={words.id}
              required
              readOnly={!isNew}
              maxLength={200}
              pattern="[\w.\-]+"
              value={fields.connection_id}
              onChange={(event) => set({ connection_id: event.currentTarget.value })}
            />
            <Autocomplete
              label={words.type}
              required
              data={typeNames}
              value={fields.conn_type}
              onChange={chooseType}
              comboboxProps={{ transitionProps: { duration: 0 } }}
            />
            {shown.has("host") && (
              <TextInput
                label={words.host}
                value={fields.host}
                onChange={(event) => set({ host: event.currentTarget.value })}
              />
            )}
            {shown.has("port") && (
              <NumberInput
                label={words.port}
                min={1}
                max={65535}
                allowDecimal={false}
                placeholder={String(TYPES[fields.conn_type]?.port ?? "")}
                value={fields.port}
                onChange={(value) => set({ port: String(value) })}
              />
            )}
            {shown.has("login") && (
              <TextInput
                label={words.login}
                autoComplete="off"
                value={fields.login}
                onChange={(event) => set({ login: event.currentTarget.value })}
              />
            )}
            {shown.has("password") && (
              <PasswordInput
                label={words.password}
                autoComplete="new-password"
                description={connection?.password == null ? undefined : words.passwordKept}
                value={fields.password}
                onChange={(event) => set({ password: event.currentTarget.value })}
              />
            )}
            {shown.has("schema") && (
              <TextInput
                label={words.schema}
                value={fields.schema}
                onChange={(event) => set({ schema: event.currentTarget.value })}
              />
            )}
            <Wide>
              <Textarea
                label={strings.admin.description}
                autosize
                minRows={1}
                value={fields.description}
                onChange={(event) => set({ description: event.currentTarget.value })}
              />
            </Wide>
            <Wide>
              <JsonField
                label={words.extra}
                description={words.extraHint}
                value={fields.extra}
                onChange={(text) => set({ extra: text })}
                error={isExtraBad ? words.badExtra : null}
              />
            </Wide>
          </FormGrid>
        </Stack>
      </form>
    </Sheet>
  );
}

/** What came of a test, in place. */
function TestResult({ test }: { test: ReturnType<typeof useTestConnection> }) {
  const words = strings.admin.connections;
  if (test.isPending) return <Notice>{words.testing}</Notice>;
  if (test.error !== null) {
    // Switched off is no failure of the connection.
    const isOff = test.error instanceof ApiError && test.error.status === 403;
    return <Notice error={!isOff}>{messageOf(test.error)}</Notice>;
  }
  if (test.data === undefined) return null;
  const { status, message } = test.data;
  return (
    <Notice error={!status}>
      <strong>{status ? words.testOk : words.testFailed}</strong> {message}
    </Notice>
  );
}
