import { Button } from "@mantine/core";

import { place, sentenceOf, type Failure, type Frame } from "../../lib/log/traceback";
import { strings } from "../../lib/strings";
import { CopyButton } from "../../ui/CopyButton";
import { Icon } from "../../ui/icons";
import classes from "./task.module.css";

interface Props {
  failure: Failure | null;
  /** Why the try failed, in the server's words. */
  reason: string | null;
  /** A word for how it ended: `exit_code`, `oom_killed`. */
  failureClass: string | null;
  onOpenLine: (() => void) | null;
}

/** What was thrown, first; then the own frames, then those of libraries. */
export function ErrorCard({ failure, reason, failureClass, onOpenLine }: Props) {
  // The server knows the last word of a process better than a guess at its log.
  const sentence = failure === null || (failure.kind === null && reason !== null) ? reason : sentenceOf(failure);
  const own = failure?.frames.filter((frame) => frame.own) ?? [];
  const library = failure?.frames.filter((frame) => !frame.own) ?? [];
  const { culprit = null } = failure ?? {};
  const others = own.filter((frame) => frame !== culprit);
  const text = () =>
    [
      sentence,
      ...(failure?.frames.map((frame) => `  ${place(frame)} ${frame.name ?? ""}  ${frame.code ?? ""}`) ?? []),
    ].join("\n");
  return (
    <section className={classes.error} aria-label={strings.tasks.error}>
      <div className={classes.errorHead}>
        <Icon name="warning" />
        <p className={classes.sentence}>
          {failure?.kind != null ? (
            <>
              <strong>{failure.kind}</strong>
              {failure.message !== "" && `: ${failure.message}`}
            </>
          ) : (
            (sentence ?? strings.tasks.noReason)
          )}
        </p>
        <span className={classes.errorActions}>
          {failureClass !== null && <code className={classes.class}>{failureClass}</code>}
          <CopyButton text={text} label={strings.tasks.copyError} />
          {onOpenLine !== null && (
            <Button size="compact-xs" variant="default" onClick={onOpenLine}>
              {strings.tasks.openLine}
            </Button>
          )}
        </span>
      </div>
      {failure?.kind != null &&
        reason !== null &&
        !failure.message.split("\n").some((line) => line !== "" && reason.includes(line.trim())) && (
          <p className={classes.reason}>{reason}</p>
        )}
      {failure?.causes.map((cause) => (
        <p key={cause} className={classes.reason}>
          {strings.tasks.causedBy(cause)}
        </p>
      ))}
      {culprit !== null && <FrameLine frame={culprit} />}
      {(others.length > 0 || library.length > 0) && (
        <div className={classes.frames}>
          {others.length > 0 && <Frames label={strings.tasks.ownFrames(others.length)} frames={others} />}
          {library.length > 0 && <Frames label={strings.tasks.libraryFrames(library.length)} frames={library} />}
        </div>
      )}
    </section>
  );
}

const Frames = ({ label, frames }: { label: string; frames: Frame[] }) => (
  <details>
    <summary>{label}</summary>
    {frames.map((frame) => (
      <FrameLine key={frame.index} frame={frame} />
    ))}
  </details>
);

const FrameLine = ({ frame }: { frame: Frame }) => (
  <div className={classes.frame} title={frame.file}>
    <span className={classes.place}>{place(frame)}</span>
    <span className={classes.muted}>{frame.name}</span>
    {frame.code !== null && <code>{frame.code}</code>}
  </div>
);
