/** What surrounds every page but the login. */
import { Suspense, useEffect, useState, useSyncExternalStore } from "react";
import { Navigate, Outlet, ScrollRestoration, useLocation, useNavigate, useNavigation } from "react-router";

import { useLiveUpdates } from "../../api/events";
import { session } from "../../api/session";
import { handleKey } from "../../lib/hotkeys";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { SkeletonRows } from "../../ui/Skeletons";
import { Toasts } from "../../ui/toasts";
import { useHotkeys } from "../../ui/useHotkeys";
import { Connection } from "./Connection";
import classes from "./frame.module.css";
import { Header } from "./Header";
import { KeysSheet } from "./KeysSheet";
import { ADMIN, MAIN, nameOf } from "./pages";
import { Palette } from "./Palette";
import { BottomBar, Rail } from "./Rail";
import { useVisited } from "./recent";

export function Frame() {
  const ended = useSyncExternalStore(session.subscribe, session.hasEnded);
  const { pathname, search, hash } = useLocation();
  if (ended) return <Navigate to={paths.login(pathname + search + hash)} replace state={{ expired: true }} />;
  return <Inner />;
}

function Inner() {
  const [palette, setPalette] = useState(false);
  const [keys, setKeys] = useState(false);
  const navigate = useNavigate();
  const words = strings.frame;
  useLiveUpdates();
  useVisited();
  useEffect(() => {
    const listen = (event: KeyboardEvent) => handleKey(event);
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
  useHotkeys(words.keysEverywhere, [
    { keys: "Mod+k", label: words.openPalette, run: () => setPalette((open) => !open), always: true },
    { keys: "?", label: words.openKeys, run: () => setKeys(true) },
  ]);
  useHotkeys(
    words.keysGo,
    [...MAIN, ...ADMIN]
      .filter(({ key }) => key !== undefined)
      .map((page) => ({ keys: `g ${page.key ?? ""}`, label: nameOf(page), run: () => void navigate(page.to) })),
  );
  return (
    <div className={classes.frame}>
      <a className={classes.skip} href="#content">
        {strings.app.skip}
      </a>
      <Rail />
      <div className={classes.column}>
        <Header onSearch={() => setPalette(true)} onKeys={() => setKeys(true)} />
        <Progress />
        <Connection />
        <main id="content" tabIndex={-1} className={classes.main}>
          <Suspense fallback={<SkeletonRows rows={12} />}>
            <Outlet />
          </Suspense>
        </main>
      </div>
      <BottomBar onSearch={() => setPalette(true)} />
      <Palette opened={palette} onClose={() => setPalette(false)} />
      <KeysSheet opened={keys} onClose={() => setKeys(false)} />
      <Toasts />
      <ScrollRestoration />
    </div>
  );
}

/** The script of the next page is on its way. */
function Progress() {
  const { state } = useNavigation();
  return <div className={classes.progress} data-busy={state === "idle" ? undefined : ""} aria-hidden="true" />;
}
