import {
  ActionIcon,
  Anchor,
  Button,
  Container,
  Group,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { Suspense, useSyncExternalStore } from "react";
import { Link, Navigate, NavLink, Outlet, ScrollRestoration, useLocation } from "react-router";

import { useLiveUpdates } from "../../api/events";
import { useLogout } from "../../api/mutations";
import { session } from "../../api/session";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Connection } from "./Connection";
import classes from "./frame.module.css";

/** What surrounds every page but the login: navigation, theme, sign out, and the bar that says when data is old. */
export function Frame() {
  const ended = useSyncExternalStore(session.subscribe, session.hasEnded);
  const { pathname, search } = useLocation();
  const logout = useLogout();
  useLiveUpdates();
  if (ended) return <Navigate to={paths.login(pathname + search)} replace />;
  return (
    <>
      <a className={classes.skip} href="#content">
        {strings.app.skip}
      </a>
      <header className={classes.bar}>
        <Container size="xl">
          <Group justify="space-between" h={48} wrap="nowrap">
            <Group gap="lg" wrap="nowrap">
              <Anchor component={Link} to={paths.dags()} fw={650} c="inherit" underline="never">
                {strings.app.name}
              </Anchor>
              <nav aria-label={strings.app.nav} className={classes.nav}>
                <NavLink to={paths.dags()} end>
                  {strings.dags.title}
                </NavLink>
                <NavLink to={paths.runs()}>{strings.runs.title}</NavLink>
              </nav>
            </Group>
            <Group gap="xs" wrap="nowrap">
              <ThemeButton />
              <Button size="compact-sm" variant="subtle" color="gray" c="inherit" onClick={() => logout.mutate()}>
                {strings.app.signOut}
              </Button>
            </Group>
          </Group>
        </Container>
      </header>
      <Connection />
      <Container component="main" size="xl" py="md" id="content" tabIndex={-1}>
        <Suspense fallback={<p aria-live="polite">{strings.app.loading}</p>}>
          <Outlet />
        </Suspense>
      </Container>
      <ScrollRestoration />
    </>
  );
}

function ThemeButton() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme("light") === "dark";
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      c="inherit"
      aria-label={strings.app.dark}
      aria-pressed={dark}
      title={strings.app.dark}
      onClick={() => setColorScheme(dark ? "light" : "dark")}
    >
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" strokeWidth="1.5" />
        <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" />
      </svg>
    </ActionIcon>
  );
}
