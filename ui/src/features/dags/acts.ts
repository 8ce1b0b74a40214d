/** What can be done with the DAGs of the list, once for all rows. It stays the same while nothing of it changes. */
import { useMemo, useState } from "react";

import { messageOf } from "../../api/errors";
import { useSetFavoriteOf, useSetPausedOf } from "../../api/mutations/dags";
import { useCan } from "../../parts/Can";
import { toast } from "../../ui/toasts";

export interface Acts {
  /** Why not, or null. */
  cannotWrite: string | null;
  cannotTrigger: string | null;
  /** Done when the list shows it, or the error is said. */
  setPaused: (dagId: string, paused: boolean) => Promise<void>;
  setFavorite: (dagId: string, favorite: boolean) => Promise<void>;
  askDelete: (dagId: string) => void;
}

const done = () => {};
const sayError = (error: Error) => toast({ text: messageOf(error), error: true });

export function useActs() {
  const { mutateAsync: tellPaused } = useSetPausedOf();
  const { mutateAsync: tellFavorite } = useSetFavoriteOf();
  const cannotWrite = useCan("Write:Dag");
  const cannotTrigger = useCan("Write:DagRun");
  const [deleting, setDeleting] = useState<string | null>(null);
  const acts = useMemo<Acts>(
    () => ({
      cannotWrite,
      cannotTrigger,
      setPaused: (dagId, paused) => tellPaused({ dagId, paused }).then(done, sayError),
      setFavorite: (dagId, favorite) => tellFavorite({ dagId, favorite }).then(done, sayError),
      askDelete: setDeleting,
    }),
    [cannotWrite, cannotTrigger, tellPaused, tellFavorite],
  );
  return { acts, deleting, endDelete: () => setDeleting(null) };
}
