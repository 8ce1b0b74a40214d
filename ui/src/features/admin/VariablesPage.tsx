import { Button, Stack, Table, Textarea, TextInput } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";

import { messageOf } from "../../api/errors";
import { ADMIN_PER_PAGE, variablesQuery } from "../../api/queries/admin";
import { useDeleteVariable, useSaveVariable } from "../../api/mutations/admin";
import { strings } from "../../lib/strings";
import { CanButton, useCan } from "../../parts/Can";
import { Confirm } from "../../parts/task/Confirm";
import { EmptyState } from "../../ui/EmptyState";
import { MoreMenu } from "../../ui/MoreMenu";
import { Notice } from "../../ui/Notice";
import { PageHead } from "../../ui/Page";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { SearchBox } from "../../ui/SearchBox";
import { Sheet } from "../../ui/Sheet";
import classes from "./admin.module.css";
import { ImportSheet } from "./ImportSheet";
import { useSearchParam } from "./useSearchParam";

interface Variable {
  key: string;
  value: string | null;
  description: string | null;
}

/** What the server says of a secret. */
const MASK = "***";

export function VariablesPage() {
  const [q, setQ] = useSearchParam("q");
  const page = usePage();
  const { data } = useSuspenseQuery(variablesQuery(q, page));
  const [editing, setEditing] = useState<Variable | "new" | null>(null);
  const [deleting, setDeleting] = useState<string | null>(null);
  const [isImporting, setImporting] = useState(false);
  const cannot = useCan("Write:Variable");
  const words = strings.admin.variables;
  return (
    <>
      <PageHead title={words.title}>
        <CanButton needs="Write:Variable" size="compact-sm" variant="default" onClick={() => setImporting(true)}>
          {strings.admin.import}
        </CanButton>
        <CanButton needs="Write:Variable" size="compact-sm" onClick={() => setEditing("new")}>
          {words.createTitle}
        </CanButton>
      </PageHead>
      <div className={classes.filters}>
        <SearchBox label={strings.admin.search} value={q} onChange={setQ} />
      </div>
      {data.variables.length === 0 ? (
        <EmptyState text={q === "" ? words.empty : strings.admin.noMatch(q)} />
      ) : (
        <ScrollTable
          label={words.title}
          head={[words.key, words.value, strings.admin.description, strings.admin.actions]}
        >
          {data.variables.map((variable) => (
            <Table.Tr key={variable.key}>
              <Table.Td className={classes.keyCell}>
                <button type="button" className={classes.link} onClick={() => setEditing(variable)}>
                  {variable.key}
                </button>
              </Table.Td>
              <Table.Td className={classes.valueCell}>
                <code>{variable.value}</code>
              </Table.Td>
              <Table.Td className={classes.textCell}>{variable.description ?? strings.app.none}</Table.Td>
              <Table.Td>
                <MoreMenu
                  label={strings.admin.moreOf(variable.key)}
                  items={[
                    { label: strings.admin.edit, icon: "edit", reason: cannot, onClick: () => setEditing(variable) },
                    {
                      label: strings.admin.delete,
                      icon: "trash",
                      danger: true,
                      reason: cannot,
                      onClick: () => setDeleting(variable.key),
                    },
                  ]}
                />
              </Table.Td>
            </Table.Tr>
          ))}
        </ScrollTable>
      )}
      <Pager page={page} size={ADMIN_PER_PAGE} total={data.total_entries} />
      {editing !== null && <Form variable={editing === "new" ? null : editing} onClose={() => setEditing(null)} />}
      {deleting !== null && <Deleting name={deleting} onClose={() => setDeleting(null)} />}
      {isImporting && <ImportSheet what="variables" onClose={() => setImporting(false)} />}
    </>
  );
}

function Form({ variable, onClose }: { variable: Variable | null; onClose: () => void }) {
  const words = strings.admin.variables;
  const save = useSaveVariable();
  const isNew = variable === null;
  const isMasked = variable?.value === MASK;
  const [fields, setFields] = useState({
    key: variable?.key ?? "",
    value: isMasked ? "" : (variable?.value ?? ""),
    description: variable?.description ?? "",
  });
  const set = (change: Partial<typeof fields>) => setFields({ ...fields, ...change });
  const submit = () => {
    // A secret that was left as it is stays as it is.
    const keeps = isMasked && fields.value === "";
    const whole = { ...fields, description: fields.description === "" ? null : fields.description };
    save.mutate({ fields: whole, isNew, ...(keeps ? { mask: ["description"] } : {}) }, { onSuccess: onClose });
  };
  return (
    <Sheet
      opened
      onClose={onClose}
      title={isNew ? words.createTitle : words.editTitle(variable.key)}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton needs="Write:Variable" type="submit" form="variable" loading={save.isPending}>
            {isNew ? words.createSubmit : strings.admin.save}
          </CanButton>
        </>
      }
    >
      <form
        id="variable"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <Stack gap="sm">
          {save.error !== null && <Notice error>{messageOf(save.error)}</Notice>}
          <TextInput
            label={words.key}
            required
            readOnly={!isNew}
            maxLength={250}
            value={fields.key}
            onChange={(event) => set({ key: event.currentTarget.value })}
          />
          <Textarea
            label={words.value}
            description={isMasked ? words.masked : words.valueHint}
            placeholder={isMasked ? MASK : undefined}
            required={!isMasked}
            autosize
            minRows={4}
            maxRows={20}
            value={fields.value}
            onChange={(event) => set({ value: event.currentTarget.value })}
            spellCheck={false}
            classNames={{ input: classes.code ?? "" }}
          />
          <Textarea
            label={strings.admin.description}
            autosize
            minRows={2}
            value={fields.description}
            onChange={(event) => set({ description: event.currentTarget.value })}
          />
        </Stack>
      </form>
    </Sheet>
  );
}

function Deleting({ name, onClose }: { name: string; onClose: () => void }) {
  const words = strings.admin.variables;
  const remove = useDeleteVariable();
  return (
    <Confirm
      danger
      title={words.deleteTitle(name)}
      text={words.deleteText}
      submit={words.deleteSubmit(name)}
      needs="Write:Variable"
      isPending={remove.isPending}
      error={remove.error}
      onSubmit={() => remove.mutate(name, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
