import { Checkbox, Table } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";

import { configQuery } from "../../api/queries/admin";
import { strings } from "../../lib/strings";
import { EmptyState } from "../../ui/EmptyState";
import { PageHead } from "../../ui/Page";
import { ScrollTable } from "../../ui/ScrollTable";
import { SearchBox } from "../../ui/SearchBox";
import classes from "./admin.module.css";
import { useSearchParam } from "./useSearchParam";

/** How this server is set, secrets masked. Where a value comes from, and what was changed, when the server says so. */
export function ConfigPage() {
  const { data: sections } = useSuspenseQuery(configQuery());
  const [q, setQ] = useSearchParam("q");
  const [changed, setChanged] = useSearchParam("changed");
  const words = strings.admin.config;
  const all = sections.flatMap(({ name, options }) =>
    options.map((option) => ({
      section: name,
      ...option,
      isChanged: option.source != null && option.source !== "default",
    })),
  );
  const saysSource = all.some((option) => option.source != null);
  const wanted = q.toLowerCase();
  const shown = all.filter(
    (option) =>
      (changed === "" || option.isChanged) &&
      (wanted === "" || `${option.section}.${option.key} ${option.value}`.toLowerCase().includes(wanted)),
  );
  return (
    <>
      <PageHead title={words.title} />
      <div className={classes.filters}>
        <SearchBox label={words.search} value={q} onChange={setQ} />
        <Checkbox
          size="xs"
          label={words.changedOnly}
          checked={changed !== ""}
          disabled={!saysSource}
          description={saysSource ? undefined : words.noSource}
          onChange={(event) => setChanged(event.currentTarget.checked ? "1" : "")}
        />
        <span className={classes.muted}>{words.options(shown.length)}</span>
      </div>
      {shown.length === 0 ? (
        <EmptyState text={words.none} />
      ) : (
        <ScrollTable
          label={words.title}
          head={[words.section, words.option, words.value, ...(saysSource ? [words.source, words.default] : [])]}
        >
          {shown.map((option, index) => (
            <Table.Tr key={`${option.section}.${option.key}`}>
              <Table.Td className={classes.muted}>
                {shown[index - 1]?.section === option.section ? (
                  <span className="sr-only">{option.section}</span>
                ) : (
                  option.section
                )}
              </Table.Td>
              <Table.Td>
                <code>{option.key}</code>
              </Table.Td>
              <Table.Td className={classes.textCell}>
                {option.isChanged ? <strong>{option.value}</strong> : option.value}
              </Table.Td>
              {saysSource && (
                <>
                  <Table.Td>{option.source}</Table.Td>
                  <Table.Td className={classes.muted}>{option.isChanged ? option.default : ""}</Table.Td>
                </>
              )}
            </Table.Tr>
          ))}
        </ScrollTable>
      )}
    </>
  );
}
