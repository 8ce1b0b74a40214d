/** `::group::name` … `::endgroup::` in a log, as Airflow's tasks write them. */
export const groupName = (event: string): string | null => /^::group::(.*)$/.exec(event)?.[1] ?? null;
export const endsGroup = (event: string): boolean => event.startsWith("::endgroup::");
