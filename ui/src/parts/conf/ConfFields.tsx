import { Fieldset } from "@mantine/core";

import { sectionsOf } from "../../lib/params/fields";
import { FormGrid, Wide } from "../../ui/Form";
import { isWide, ParamField } from "./ParamField";
import type { Conf } from "./useConf";

/** The params of a DAG as a form, section by section. */
export function ConfFields({ conf }: { conf: Conf }) {
  return sectionsOf(conf.fields).map(({ section, fields }) => {
    const grid = (
      <FormGrid>
        {fields.map((field) => {
          const control = (
            <ParamField
              key={field.name}
              field={field}
              draft={conf.drafts[field.name] ?? null}
              error={conf.errorOf(field)}
              first={field === conf.fields[0]}
              onChange={(draft) => conf.change(field.name, draft)}
            />
          );
          return isWide(field) ? <Wide key={field.name}>{control}</Wide> : control;
        })}
      </FormGrid>
    );
    return section === null ? (
      <div key="">{grid}</div>
    ) : (
      <Fieldset key={section} legend={section} mt="md" variant="default">
        {grid}
      </Fieldset>
    );
  });
}
