import { useMutation, useQueryClient } from "@tanstack/react-query";

import { client, ok } from "../client";

const tellPaused = (dagId: string, paused: boolean) =>
  ok(client.PATCH("/api/v2/dags/{dag_id}", { params: { path: { dag_id: dagId } }, body: { is_paused: paused } }));

export function useSetPaused(dagId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (paused: boolean) => tellPaused(dagId, paused),
    // Returned, so that the mutation is pending (and the switch shows the wish) until the new state is there.
    onSettled: () => queries.invalidateQueries({ queryKey: ["dags"] }),
  });
}

/** The same where the DAG is not known beforehand. */
export function useSetPausedOf() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ dagId, paused }: { dagId: string; paused: boolean }) => tellPaused(dagId, paused),
    onSettled: () => queries.invalidateQueries({ queryKey: ["dags"] }),
  });
}

const tellFavorite = (dagId: string, isFavorite: boolean) =>
  ok(
    client.POST(isFavorite ? "/api/v2/dags/{dag_id}/favorite" : "/api/v2/dags/{dag_id}/unfavorite", {
      params: { path: { dag_id: dagId } },
    }),
  );

export function useSetFavorite(dagId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (isFavorite: boolean) => tellFavorite(dagId, isFavorite),
    onSettled: () => queries.invalidateQueries({ queryKey: ["dags"] }),
  });
}

/** The same where the DAG is not known beforehand. */
export function useSetFavoriteOf() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ dagId, favorite }: { dagId: string; favorite: boolean }) => tellFavorite(dagId, favorite),
    onSettled: () => queries.invalidateQueries({ queryKey: ["dags"] }),
  });
}

/** Has the file of a DAG read again, soon. */
export const useReparse = () =>
  useMutation({
    mutationFn: (fileToken: string) =>
      ok(client.PUT("/api/v2/parseDagFile/{file_token}", { params: { path: { file_token: fileToken } } })),
  });

export function useDeleteDag(dagId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => ok(client.DELETE("/api/v2/dags/{dag_id}", { params: { path: { dag_id: dagId } } })),
    onSuccess: () => {
      // What is shown of it is not asked for again: it is gone.
      queries.removeQueries({ queryKey: ["dags", "details", dagId] });
      return Promise.all([
        queries.invalidateQueries({ queryKey: ["dags", "list"] }),
        queries.invalidateQueries({ queryKey: ["runs"] }),
      ]);
    },
  });
}

/** So many requests are under way at a time. */
const AT_ONCE = 4;

/** One thing for many DAGs; says of how many it did not succeed, with the first error. */
export function useForDags() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ dagIds, what }: { dagIds: string[]; what: "pause" | "unpause" | "trigger" }) => {
      const errors: unknown[] = [];
      const waiting = [...dagIds];
      const work = async () => {
        for (let dagId = waiting.shift(); dagId !== undefined; dagId = waiting.shift()) {
          try {
            if (what === "trigger") {
              const params = { path: { dag_id: dagId } };
              await ok(client.POST("/api/v2/dags/{dag_id}/dagRuns", { params, body: { logical_date: null } }));
            } else {
              await tellPaused(dagId, what === "pause");
            }
          } catch (error) {
            errors.push(error);
          }
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      return { done: dagIds.length - errors.length, failed: errors.length, error: errors[0] };
    },
    onSettled: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: ["dags"] }),
        queries.invalidateQueries({ queryKey: ["runs"] }),
      ]),
  });
}
