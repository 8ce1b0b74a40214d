import { strings } from "../../lib/strings";
import { PageHead } from "../../ui/Page";
import { RunsList } from "./RunsList";

/** The runs of all DAGs. */
export function RunsPage() {
  return (
    <>
      <PageHead title={strings.runs.title} />
      <RunsList dagId="~" />
    </>
  );
}
