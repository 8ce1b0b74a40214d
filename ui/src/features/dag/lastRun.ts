/** The newest run of one DAG. */
export const lastRun = (dagId: string) => ({ dagId, state: null, page: 1, limit: 1 }) as const;
