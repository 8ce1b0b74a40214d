/**
 * A part of a page that reads its own data (`useSuspenseQuery` inside): a skeleton until it is there, an error with Retry when it
 * cannot be had, and the rest of the page goes on. `title` and `aside` make it a titled box; without a title it is bare.
 */
import { useQueryErrorResetBoundary } from "@tanstack/react-query";
import { Component, Suspense, useId, type ReactNode } from "react";

import { ApiError, messageOf } from "../api/errors";
import { PanelError } from "../ui/PanelError";
import { SkeletonRows } from "../ui/Skeletons";
import classes from "./panel.module.css";

interface Props {
  title?: ReactNode;
  /** At the right of the title: a count that is a link, a button. */
  aside?: ReactNode;
  fallback?: ReactNode;
  children: ReactNode;
}

export function Panel({ title, aside, fallback = <SkeletonRows rows={4} />, children }: Props) {
  const id = useId();
  const inner = (
    <Boundary>
      <Suspense fallback={fallback}>{children}</Suspense>
    </Boundary>
  );
  if (title === undefined) return inner;
  return (
    <section aria-labelledby={id} className={classes.panel}>
      <div className={classes.head}>
        <h2 id={id}>{title}</h2>
        <span className={classes.aside}>{aside}</span>
      </div>
      {inner}
    </section>
  );
}

/** Shows what was thrown inside; for a boundary without a skeleton. */
export function Boundary({ children }: { children: ReactNode }) {
  const { reset } = useQueryErrorResetBoundary();
  return <Catch onReset={reset}>{children}</Catch>;
}

class Catch extends Component<{ onReset: () => void; children: ReactNode }, { error: unknown }> {
  override state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    // The frame is about to send us to the login page.
    if (error instanceof ApiError && error.status === 401) return null;
    const retry = () => {
      this.props.onReset();
      this.setState({ error: null });
    };
    return <PanelError message={messageOf(error)} onRetry={retry} />;
  }
}
