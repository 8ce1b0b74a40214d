import { useSearchParams } from "react-router";

/** One part of the address, and how to change it; another page of a list is shown from its beginning. */
export function useSearchParam(key: string): [string, (value: string) => void] {
  const [search, setSearch] = useSearchParams();
  const set = (value: string) =>
    setSearch(
      (before) => {
        const next = new URLSearchParams(before);
        if (value === "") next.delete(key);
        else next.set(key, value);
        if (key !== "page") next.delete("page");
        return next;
      },
      { replace: true },
    );
  return [search.get(key) ?? "", set];
}
