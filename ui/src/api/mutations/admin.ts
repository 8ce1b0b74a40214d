/** What an administrator changes. */
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { client, ok } from "../client";
import type { Role } from "../queries/admin";

/** A mutation after which what begins with these keys is asked for again. */
function useChange<In, Out>(keys: string[], mutationFn: (what: In) => Promise<Out>) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn,
    onSuccess: () => Promise.all(keys.map((key) => queries.invalidateQueries({ queryKey: [key] }))),
  });
}

export const useDrain = () =>
  useChange(["executors", "home"], ({ name, drain }: { name: string; drain: boolean }) =>
    ok(
      client.POST(drain ? "/ui/executors/{name}/drain" : "/ui/executors/{name}/resume", { params: { path: { name } } }),
    ),
  );

export interface PoolFields {
  name: string;
  slots: number;
  description: string;
  include_deferred: boolean;
}

export const useSavePool = () =>
  useChange(["pools"], ({ fields, isNew }: { fields: PoolFields; isNew: boolean }) =>
    isNew
      ? ok(client.POST("/api/v2/pools", { body: fields }))
      : ok(
          client.PATCH("/api/v2/pools/{pool_name}", {
            params: { path: { pool_name: fields.name } },
            body: { ...fields, pool: fields.name },
          }),
        ),
  );

export const useDeletePool = () =>
  useChange(["pools"], (name: string) =>
    ok(client.DELETE("/api/v2/pools/{pool_name}", { params: { path: { pool_name: name } } })),
  );

export interface VariableFields {
  key: string;
  value: string;
  description: string | null;
}

export const useSaveVariable = () =>
  useChange(["variables"], ({ fields, isNew, mask }: { fields: VariableFields; isNew: boolean; mask?: string[] }) =>
    isNew
      ? ok(client.POST("/api/v2/variables", { body: fields }))
      : ok(
          client.PATCH("/api/v2/variables/{variable_key}", {
            params: { path: { variable_key: fields.key }, query: mask === undefined ? {} : { update_mask: mask } },
            body: fields,
          }),
        ),
  );

export const useDeleteVariable = () =>
  useChange(["variables"], (key: string) =>
    ok(client.DELETE("/api/v2/variables/{variable_key}", { params: { path: { variable_key: key } } })),
  );

export type IfExists = "fail" | "skip" | "overwrite";

/** Many variables or connections at once; what became of them. */
export const useImport = (what: "variables" | "connections") =>
  useChange([what], ({ entities, ifExists }: { entities: object[]; ifExists: IfExists }) => {
    // What is not as it must be is for the server to tell, entity by entity.
    const actions = [{ action: "create" as const, entities: entities as never[], action_on_existence: ifExists }];
    return what === "variables"
      ? ok(client.PATCH("/api/v2/variables", { body: { actions } }))
      : ok(client.PATCH("/api/v2/connections", { body: { actions } }));
  });

export interface ConnectionFields {
  connection_id: string;
  conn_type: string;
  description?: string | null;
  host?: string | null;
  login?: string | null;
  schema?: string | null;
  port?: number | null;
  /** Absent: as it is. */
  password?: string | null;
  extra?: string | null;
}

export const useSaveConnection = () =>
  useChange(["connections"], ({ fields, isNew, mask }: { fields: ConnectionFields; isNew: boolean; mask: string[] }) =>
    isNew
      ? ok(client.POST("/api/v2/connections", { body: fields }))
      : ok(
          client.PATCH("/api/v2/connections/{connection_id}", {
            params: { path: { connection_id: fields.connection_id }, query: { update_mask: mask } },
            body: fields,
          }),
        ),
  );

export const useDeleteConnection = () =>
  useChange(["connections"], (id: string) =>
    ok(client.DELETE("/api/v2/connections/{connection_id}", { params: { path: { connection_id: id } } })),
  );

/** Whether a connection works, with the fields as they are in the form. */
export const useTestConnection = () =>
  useMutation({
    mutationFn: (fields: ConnectionFields) => ok(client.POST("/api/v2/connections/test", { body: fields })),
  });

export const useCreateUser = () =>
  useChange(["users"], (body: { username: string; password: string; role: Role }) =>
    ok(client.POST("/ui/users", { body })),
  );

export const useChangeUser = () =>
  useChange(["users"], ({ username, ...body }: { username: string; password?: string; role?: Role }) =>
    ok(client.PATCH("/ui/users/{username}", { params: { path: { username } }, body })),
  );

export const useDeleteUser = () =>
  useChange(["users", "tokens"], (username: string) =>
    ok(client.DELETE("/ui/users/{username}", { params: { path: { username } } })),
  );

/** The answer has the token itself, this once. */
export const useCreateToken = () =>
  useChange(["tokens"], (body: { name: string; expires_in_days?: number }) => ok(client.POST("/ui/tokens", { body })));

export const useRevokeToken = () =>
  useChange(["tokens"], (id: number) =>
    ok(client.DELETE("/ui/tokens/{token_id}", { params: { path: { token_id: id } } })),
  );
