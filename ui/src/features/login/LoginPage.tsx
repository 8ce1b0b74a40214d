import { Button, Container, Paper, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent, type ReactNode } from "react";
import { useNavigate, useSearchParams } from "react-router";

import { ApiError, messageOf } from "../../api/errors";
import { useLogin } from "../../api/mutations";
import { strings } from "../../lib/strings";
import { safeNext } from "../../paths";
import { Notice } from "../../ui/Notice";
import { PageHead } from "../../ui/Page";

interface Props {
  /** Ways to sign in without a password: buttons that lead to who vouches for a person, below the form. */
  others?: ReactNode;
}

export function LoginPage({ others }: Props) {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [search] = useSearchParams();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const login = useLogin();

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const onSuccess = () => {
      // Nothing of another user's answers, or errors, may survive.
      queries.clear();
      void navigate(safeNext(search.get("next")), { replace: true });
    };
    login.mutate({ username, password }, { onSuccess });
  };

  return (
    <Container component="main" size={400} py={80}>
      <Paper withBorder p="lg">
        <PageHead title={strings.login.title} />
        {login.isError && (
          <Notice error>
            {login.error instanceof ApiError && login.error.status === 401
              ? strings.login.wrong
              : messageOf(login.error)}
          </Notice>
        )}
        <form onSubmit={submit}>
          <Stack gap="sm">
            <TextInput
              label={strings.login.username}
              name="username"
              autoComplete="username"
              required
              withAsterisk={false}
              value={username}
              onChange={(event) => setUsername(event.currentTarget.value)}
            />
            <PasswordInput
              label={strings.login.password}
              name="password"
              autoComplete="current-password"
              required
              withAsterisk={false}
              value={password}
              onChange={(event) => setPassword(event.currentTarget.value)}
            />
            <Button type="submit" loading={login.isPending}>
              {strings.login.submit}
            </Button>
            <Text size="xs" c="dimmed">
              {strings.login.hint}
            </Text>
          </Stack>
        </form>
        {others}
      </Paper>
    </Container>
  );
}
