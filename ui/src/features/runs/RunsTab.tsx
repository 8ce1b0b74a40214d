import { useParams } from "react-router";

import { RunsList } from "./RunsList";

/** The runs of one DAG. */
export function RunsTab() {
  const { dagId = "" } = useParams();
  return <RunsList dagId={dagId} />;
}
