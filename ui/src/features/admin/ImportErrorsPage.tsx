import { useSuspenseQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { fileErrorsQuery, type FileError, type FileErrors } from "../../api/queries/admin";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { CopyButton } from "../../ui/CopyButton";
import { EmptyState } from "../../ui/EmptyState";
import { PageHead } from "../../ui/Page";
import { Time } from "../../ui/Time";
import classes from "./admin.module.css";

/** DAG files that are not good: every error of each, where it is, and what runs meanwhile. */
export function ImportErrorsPage() {
  const { data } = useSuspenseQuery(fileErrorsQuery());
  const words = strings.admin.importErrors;
  return (
    <>
      <PageHead title={words.title} />
      {data.items.length === 0 && <EmptyState text={words.empty} />}
      {data.items.map((file) => (
        <File key={file.import_error_id} file={file} />
      ))}
    </>
  );
}

function File({ file }: { file: FileErrors }) {
  const words = strings.admin.importErrors;
  return (
    <section className={classes.file} aria-label={file.filename}>
      <div className={classes.fileHead}>
        <h2>{file.filename}</h2>
        <CopyButton text={file.filename} label={words.copyPath} />
        <span className={classes.muted}>
          {words.errors(file.errors.length)} · {words.seen} <Time at={file.timestamp} short />
        </span>
      </div>
      <p className={classes.fileGood}>
        {file.last_good_version === null ? words.noGood : words.lastGood(file.last_good_version)}
        {file.dag_ids.length > 0 && ": "}
        {file.dag_ids.map((dagId, index) => (
          <span key={dagId}>
            {index > 0 && ", "}
            <Link to={paths.dag(dagId, "code")}>{dagId}</Link>
          </span>
        ))}
      </p>
      {file.errors.map((error, index) => (
        <OneError key={index} filename={file.filename} error={error} />
      ))}
    </section>
  );
}

function OneError({ filename, error }: { filename: string; error: FileError }) {
  const words = strings.admin.importErrors;
  const width = String(error.excerpt.at(-1)?.line ?? "").length;
  return (
    <article className={classes.fileError}>
      <p className={classes.fileMessage}>
        {error.line !== null && <strong>{words.at(error.line, error.column ?? 1)}</strong>} {error.message}{" "}
        <code className={classes.muted}>{error.code}</code>
      </p>
      {error.excerpt.length > 0 && (
        <pre
          className={classes.excerpt}
          role="region"
          aria-label={words.excerpt(`${filename}:${error.line}:${error.column} ${error.code}`)}
          tabIndex={0}
        >
          {error.excerpt.map(({ line, text }) => (
            <span key={line} data-at={line === error.line || undefined}>
              <i>{String(line).padStart(width)}</i> {text}
              {"\n"}
              {line === error.line && error.column !== null && (
                <b>
                  {" ".repeat(width + error.column)}
                  {`${"^".repeat(caretsOf(error))}\n`}
                </b>
              )}
            </span>
          ))}
        </pre>
      )}
      {error.help !== null && (
        <p className={classes.muted}>
          {words.help}: {error.help}
        </p>
      )}
    </article>
  );
}

/** As many as what is wrong has letters, where that is known. */
function caretsOf({ line, column, end_line, end_column }: FileError): number {
  if (column === null || end_column == null || end_line !== line) return 1;
  return Math.max(1, end_column - column);
}
