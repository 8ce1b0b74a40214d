/** The newest runs of all DAGs, one request for the whole list. */
export const recentRuns = { dagId: "~", state: null, page: 1, limit: 100 } as const;
