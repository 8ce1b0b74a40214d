import { Button, NativeSelect, PasswordInput, Stack, Table, Text, TextInput } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";

import { messageOf } from "../../api/errors";
import { ADMIN_PER_PAGE, ROLES, usersQuery, type Role, type User } from "../../api/queries/admin";
import { meQuery } from "../../api/queries/me";
import { useChangeUser, useCreateUser, useDeleteUser } from "../../api/mutations/admin";
import { strings } from "../../lib/strings";
import { CanButton, useCan } from "../../parts/Can";
import { Confirm } from "../../parts/task/Confirm";
import { EmptyState } from "../../ui/EmptyState";
import { MoreMenu } from "../../ui/MoreMenu";
import { Notice } from "../../ui/Notice";
import { PageHead } from "../../ui/Page";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { Sheet } from "../../ui/Sheet";
import { Time } from "../../ui/Time";
import classes from "./admin.module.css";

type Asked = { what: "role" | "password" | "delete"; user: User } | { what: "new" } | null;

const roleOptions = () => ROLES.map((value) => ({ value, label: strings.admin.users.roles[value] }));

export function UsersPage() {
  const page = usePage();
  const { data } = useSuspenseQuery(usersQuery(page));
  const { data: me } = useQuery(meQuery());
  const [asked, setAsked] = useState<Asked>(null);
  const cannot = useCan("Write:User");
  const words = strings.admin.users;
  const close = () => setAsked(null);
  return (
    <>
      <PageHead title={words.title}>
        <CanButton needs="Write:User" size="compact-sm" onClick={() => setAsked({ what: "new" })}>
          {words.createTitle}
        </CanButton>
      </PageHead>
      {data.users.length === 0 ? (
        <EmptyState text={words.empty} />
      ) : (
        <ScrollTable label={words.title} head={[words.user, words.role, words.created, strings.admin.actions]}>
          {data.users.map((user) => (
            <Table.Tr key={user.username}>
              <Table.Td>
                {user.username} {user.username === me?.username && <span className={classes.muted}>({words.you})</span>}
              </Table.Td>
              <Table.Td>{words.roles[user.role]}</Table.Td>
              <Table.Td>
                <Time at={user.created_at} />
              </Table.Td>
              <Table.Td>
                <MoreMenu
                  label={strings.admin.moreOf(user.username)}
                  items={[
                    {
                      label: words.changeRole,
                      icon: "edit",
                      reason: cannot,
                      onClick: () => setAsked({ what: "role", user }),
                    },
                    {
                      label: words.changePassword,
                      icon: "key",
                      reason: cannot,
                      onClick: () => setAsked({ what: "password", user }),
                    },
                    {
                      label: strings.admin.delete,
                      icon: "trash",
                      danger: true,
                      reason: cannot ?? (user.username === me?.username ? words.isYou : null),
                      onClick: () => setAsked({ what: "delete", user }),
                    },
                  ]}
                />
              </Table.Td>
            </Table.Tr>
          ))}
        </ScrollTable>
      )}
      <Pager page={page} size={ADMIN_PER_PAGE} total={data.total_entries} />
      {asked?.what === "new" && <NewUser onClose={close} />}
      {(asked?.what === "role" || asked?.what === "password") && (
        <ChangeUser what={asked.what} user={asked.user} onClose={close} />
      )}
      {asked?.what === "delete" && <Deleting user={asked.user} onClose={close} />}
    </>
  );
}

function NewUser({ onClose }: { onClose: () => void }) {
  const words = strings.admin.users;
  const create = useCreateUser();
  const [fields, setFields] = useState({ username: "", password: "", role: "viewer" as Role });
  const set = (change: Partial<typeof fields>) => setFields({ ...fields, ...change });
  return (
    <Sheet
      opened
      onClose={onClose}
      title={words.createTitle}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton needs="Write:User" type="submit" form="user" loading={create.isPending}>
            {words.createSubmit}
          </CanButton>
        </>
      }
    >
      <form
        id="user"
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate(fields, { onSuccess: onClose });
        }}
      >
        <Stack gap="sm">
          {create.error !== null && <Notice error>{messageOf(create.error)}</Notice>}
          <TextInput
            label={words.username}
            required
            autoComplete="off"
            value={fields.username}
            onChange={(event) => set({ username: event.currentTarget.value })}
          />
          <PasswordInput
            label={words.password}
            description={words.passwordHint}
            required
            minLength={8}
            autoComplete="new-password"
            value={fields.password}
            onChange={(event) => set({ password: event.currentTarget.value })}
          />
          <NativeSelect
            label={words.role}
            value={fields.role}
            onChange={(event) => set({ role: event.currentTarget.value as Role })}
            data={roleOptions()}
          />
        </Stack>
      </form>
    </Sheet>
  );
}

function ChangeUser({ what, user, onClose }: { what: "role" | "password"; user: User; onClose: () => void }) {
  const words = strings.admin.users;
  const change = useChangeUser();
  const [role, setRole] = useState<Role>(user.role);
  const [password, setPassword] = useState("");
  return (
    <Sheet
      opened
      onClose={onClose}
      width={460}
      title={what === "role" ? words.roleTitle(user.username) : words.passwordTitle(user.username)}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton needs="Write:User" type="submit" form="change" loading={change.isPending}>
            {what === "role" ? words.changeRole : words.changePassword}
          </CanButton>
        </>
      }
    >
      <form
        id="change"
        onSubmit={(event) => {
          event.preventDefault();
          change.mutate(
            { username: user.username, ...(what === "role" ? { role } : { password }) },
            { onSuccess: onClose },
          );
        }}
      >
        <Stack gap="sm">
          {change.error !== null && <Notice error>{messageOf(change.error)}</Notice>}
          {what === "role" ? (
            <NativeSelect
              label={words.role}
              value={role}
              onChange={(event) => setRole(event.currentTarget.value as Role)}
              data={roleOptions()}
            />
          ) : (
            <>
              <Text>{words.passwordText}</Text>
              <PasswordInput
                label={words.newPassword}
                description={words.passwordHint}
                required
                minLength={8}
                autoComplete="new-password"
                value={password}
                onChange={(event) => setPassword(event.currentTarget.value)}
              />
            </>
          )}
        </Stack>
      </form>
    </Sheet>
  );
}

function Deleting({ user, onClose }: { user: User; onClose: () => void }) {
  const words = strings.admin.users;
  const remove = useDeleteUser();
  return (
    <Confirm
      danger
      title={words.deleteTitle(user.username)}
      text={words.deleteText}
      submit={words.deleteSubmit(user.username)}
      needs="Write:User"
      isPending={remove.isPending}
      error={remove.error}
      onSubmit={() => remove.mutate(user.username, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
