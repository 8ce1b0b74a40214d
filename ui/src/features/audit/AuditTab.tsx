import { useParams } from "react-router";

import { AuditTable } from "../../parts/audit/AuditTable";

/** Who did what to a DAG. */
export function AuditTab() {
  const { dagId = "" } = useParams();
  return <AuditTable of={{ dagId }} />;
}
