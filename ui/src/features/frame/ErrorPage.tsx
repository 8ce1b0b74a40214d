import { Anchor, Button, Container, Group, Text } from "@mantine/core";
import { useQueryErrorResetBoundary } from "@tanstack/react-query";
import { isRouteErrorResponse, Link, useRevalidator, useRouteError } from "react-router";

import { ApiError, messageOf } from "../../api/errors";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { PageHead } from "../../ui/Page";

/** A page whose data could not be had: what failed, in the server's words, and two ways on. */
export function ErrorPage() {
  const error = useRouteError();
  const { reset } = useQueryErrorResetBoundary();
  const { revalidate } = useRevalidator();
  // The frame is about to send us to the login page.
  if (error instanceof ApiError && error.status === 401) return null;
  const missing = isRouteErrorResponse(error)
    ? error.status === 404
    : error instanceof ApiError && error.status === 404;
  const retry = () => {
    reset();
    void revalidate();
  };
  return (
    <div role="alert">
      <PageHead title={missing ? strings.app.notFound : strings.app.wrong} />
      <Text mb="md">{error instanceof Error ? messageOf(error) : strings.app.notFoundHint}</Text>
      <Group>
        {!missing && <Button onClick={retry}>{strings.app.retry}</Button>}
        <Anchor component={Link} to={paths.dags()}>
          {strings.app.home}
        </Anchor>
      </Group>
    </div>
  );
}

/** The same for errors of the frame itself, which has no frame around it. */
export function BareErrorPage() {
  return (
    <Container component="main" size="sm" py="xl">
      <ErrorPage />
    </Container>
  );
}
