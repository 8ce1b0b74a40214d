import { strings } from "../../lib/strings";
import { RunsTable } from "../../parts/RunsTable";
import { PageHead } from "../../ui/Page";

export function RunsPage() {
  return (
    <>
      <PageHead title={strings.runs.title} />
      <RunsTable dagId="~" />
    </>
  );
}
