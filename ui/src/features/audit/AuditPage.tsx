import { strings } from "../../lib/strings";
import { AuditTable } from "../../parts/audit/AuditTable";
import { PageHead } from "../../ui/Page";

/** Who did what, everywhere. */
export function AuditPage() {
  return (
    <>
      <PageHead title={strings.audit.title} />
      <AuditTable />
    </>
  );
}
