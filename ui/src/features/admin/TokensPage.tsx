import { Button, NativeSelect, Stack, Table, TextInput } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";

import { messageOf } from "../../api/errors";
import { ADMIN_PER_PAGE, tokensQuery, type Token } from "../../api/queries/admin";
import { useCreateToken, useRevokeToken } from "../../api/mutations/admin";
import { strings } from "../../lib/strings";
import { CanButton } from "../../parts/Can";
import { Confirm } from "../../parts/task/Confirm";
import { CopyButton } from "../../ui/CopyButton";
import { EmptyState } from "../../ui/EmptyState";
import { Notice } from "../../ui/Notice";
import { PageHead } from "../../ui/Page";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { Sheet } from "../../ui/Sheet";
import { Time } from "../../ui/Time";
import { useNow } from "../../ui/now";
import classes from "./admin.module.css";

const DAYS = [7, 30, 90, 365] as const;

export function TokensPage() {
  const page = usePage();
  const { data } = useSuspenseQuery(tokensQuery(page));
  const [isCreating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const words = strings.admin.tokens;
  return (
    <>
      <PageHead title={words.title}>
        <CanButton needs="Write:Own" size="compact-sm" onClick={() => setCreating(true)}>
          {words.createTitle}
        </CanButton>
      </PageHead>
      {data.tokens.length === 0 ? (
        <EmptyState text={words.empty} />
      ) : (
        <ScrollTable
          label={words.title}
          head={[words.token, words.owner, words.created, words.expires, words.lastUsed, strings.admin.actions]}
        >
          {data.tokens.map((token) => (
            <Table.Tr key={token.id}>
              <Table.Td className={classes.keyCell}>{token.name}</Table.Td>
              <Table.Td>{token.username}</Table.Td>
              <Table.Td>
                <Time at={token.created_at} />
              </Table.Td>
              <Table.Td>
                <Expires at={token.expires_at} />
              </Table.Td>
              <Table.Td>{token.last_used_at === null ? words.never : <Time at={token.last_used_at} short />}</Table.Td>
              <Table.Td>
                <CanButton needs="Write:Own" size="compact-xs" variant="default" onClick={() => setRevoking(token)}>
                  {words.revoke}
                </CanButton>
              </Table.Td>
            </Table.Tr>
          ))}
        </ScrollTable>
      )}
      <Pager page={page} size={ADMIN_PER_PAGE} total={data.total_entries} />
      {isCreating && <NewToken onClose={() => setCreating(false)} />}
      {revoking !== null && <Revoking token={revoking} onClose={() => setRevoking(null)} />}
    </>
  );
}

function Expires({ at }: { at: string | null }) {
  const isOver = useNow((now) => (at !== null && Date.parse(at) < now ? 1 : 0)) === 1;
  if (at === null) return strings.admin.tokens.never;
  return (
    <>
      {isOver && <strong>{strings.admin.tokens.expired} · </strong>}
      <Time at={at} />
    </>
  );
}

function NewToken({ onClose }: { onClose: () => void }) {
  const words = strings.admin.tokens;
  const create = useCreateToken();
  const [name, setName] = useState("");
  const [days, setDays] = useState("90");
  const made = create.data;
  return (
    <Sheet
      opened
      onClose={onClose}
      title={words.createTitle}
      footer={
        made === undefined ? (
          <>
            <Button variant="default" onClick={onClose}>
              {strings.app.cancel}
            </Button>
            <CanButton needs="Write:Own" type="submit" form="token" loading={create.isPending}>
              {words.createSubmit}
            </CanButton>
          </>
        ) : (
          <Button onClick={onClose}>{words.done}</Button>
        )
      }
    >
      {made === undefined ? (
        <form
          id="token"
          onSubmit={(event) => {
            event.preventDefault();
            create.mutate({ name, ...(days === "" ? {} : { expires_in_days: Number(days) }) });
          }}
        >
          <Stack gap="sm">
            {create.error !== null && <Notice error>{messageOf(create.error)}</Notice>}
            <TextInput
              label={strings.admin.name}
              description={words.nameHint}
              required
              maxLength={250}
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
            />
            <NativeSelect
              label={words.expiresIn}
              value={days}
              onChange={(event) => setDays(event.currentTarget.value)}
              data={[
                ...DAYS.map((n) => ({ value: String(n), label: words.days(n) })),
                { value: "", label: words.forever },
              ]}
            />
          </Stack>
        </form>
      ) : (
        <Stack gap="sm">
          <Notice>{words.shownOnce}</Notice>
          <div className={classes.token}>
            <code>{made.token}</code>
            <CopyButton text={made.token} label={words.copy} size="md" />
          </div>
        </Stack>
      )}
    </Sheet>
  );
}

function Revoking({ token, onClose }: { token: Token; onClose: () => void }) {
  const words = strings.admin.tokens;
  const revoke = useRevokeToken();
  return (
    <Confirm
      danger
      title={words.revokeTitle(token.name)}
      text={words.revokeText}
      submit={words.revokeSubmit}
      needs="Write:Own"
      isPending={revoke.isPending}
      error={revoke.error}
      onSubmit={() => revoke.mutate(token.id, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
