import { Table } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";

import { ADMIN_PER_PAGE, connectionsQuery } from "../../api/queries/admin";
import { useDeleteConnection } from "../../api/mutations/admin";
import { strings } from "../../lib/strings";
import { CanButton, useCan } from "../../parts/Can";
import { Confirm } from "../../parts/task/Confirm";
import { EmptyState } from "../../ui/EmptyState";
import { Icon } from "../../ui/icons";
import { MoreMenu } from "../../ui/MoreMenu";
import { PageHead } from "../../ui/Page";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { SearchBox } from "../../ui/SearchBox";
import classes from "./admin.module.css";
import { ConnectionForm, type Connection } from "./ConnectionForm";
import { ImportSheet } from "./ImportSheet";
import { useSearchParam } from "./useSearchParam";

export function ConnectionsPage() {
  const [q, setQ] = useSearchParam("q");
  const page = usePage();
  const { data } = useSuspenseQuery(connectionsQuery(q, page));
  const [editing, setEditing] = useState<Connection | "new" | null>(null);
  const [deleting, setDeleting] = useState<string | null>(null);
  const [isImporting, setImporting] = useState(false);
  const cannot = useCan("Write:Connection");
  const words = strings.admin.connections;
  return (
    <>
      <PageHead title={words.title}>
        <CanButton needs="Write:Connection" size="compact-sm" variant="default" onClick={() => setImporting(true)}>
          {strings.admin.import}
        </CanButton>
        <CanButton needs="Write:Connection" size="compact-sm" onClick={() => setEditing("new")}>
          {words.createTitle}
        </CanButton>
      </PageHead>
      <div className={classes.filters}>
        <SearchBox label={strings.admin.search} value={q} onChange={setQ} />
      </div>
      {data.connections.length === 0 ? (
        <EmptyState text={q === "" ? words.empty : strings.admin.noMatch(q)} />
      ) : (
        <ScrollTable
          label={words.title}
          head={[
            words.id,
            words.type,
            words.host,
            words.login,
            words.schema,
            strings.admin.description,
            strings.admin.actions,
          ]}
        >
          {data.connections.map((connection) => (
            <Table.Tr key={connection.connection_id}>
              <Table.Td className={classes.keyCell}>
                <button type="button" className={classes.link} onClick={() => setEditing(connection)}>
                  {connection.connection_id}
                </button>
              </Table.Td>
              <Table.Td>{connection.conn_type}</Table.Td>
              <Table.Td className={classes.textCell}>
                {connection.host === null ? strings.app.none : connection.host}
                {connection.port !== null && `:${connection.port}`}
              </Table.Td>
              <Table.Td>
                {connection.login ?? strings.app.none}
                {connection.password !== null && (
                  <span title={words.hasPassword} className={classes.lock}>
                    <Icon name="key" size={14} />
                    <span className="sr-only">{words.hasPassword}</span>
                  </span>
                )}
              </Table.Td>
              <Table.Td>{connection.schema ?? strings.app.none}</Table.Td>
              <Table.Td className={classes.textCell}>{connection.description ?? strings.app.none}</Table.Td>
              <Table.Td>
                <MoreMenu
                  label={strings.admin.moreOf(connection.connection_id)}
                  items={[
                    { label: strings.admin.edit, icon: "edit", reason: cannot, onClick: () => setEditing(connection) },
                    {
                      label: strings.admin.delete,
                      icon: "trash",
                      danger: true,
                      reason: cannot,
                      onClick: () => setDeleting(connection.connection_id),
                    },
                  ]}
                />
              </Table.Td>
            </Table.Tr>
          ))}
        </ScrollTable>
      )}
      <Pager page={page} size={ADMIN_PER_PAGE} total={data.total_entries} />
      {editing !== null && (
        <ConnectionForm connection={editing === "new" ? null : editing} onClose={() => setEditing(null)} />
      )}
      {deleting !== null && <Deleting id={deleting} onClose={() => setDeleting(null)} />}
      {isImporting && <ImportSheet what="connections" onClose={() => setImporting(false)} />}
    </>
  );
}

function Deleting({ id, onClose }: { id: string; onClose: () => void }) {
  const words = strings.admin.connections;
  const remove = useDeleteConnection();
  return (
    <Confirm
      danger
      title={words.deleteTitle(id)}
      text={words.deleteText}
      submit={words.deleteSubmit(id)}
      needs="Write:Connection"
      isPending={remove.isPending}
      error={remove.error}
      onSubmit={() => remove.mutate(id, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
