// One classifier as it is chosen, or a search: among which, how many trials, how long.

import { t } from "../lib/text.js";
import { NEW_SEARCH } from "../lib/train_call.js";
import { html } from "../lib/ui.js";
import { CheckField, SelectField, TextField } from "../parts/fields.js";
import { errorAt } from "../parts/problem.js";

const AMONG = ["default", "one", "some"];

/** Whether one classifier is to be chosen: it is trained, or its parameters are searched. */
export const isOfOne = ({ search }) => !search || search.among === "one";

export function TrainSearch({ chosen, choose, problem, names }) {
  const { search } = chosen;
  const change = (changed) => choose({ search: { ...search, ...changed } });
  const text = (name, placeholder) => html`
    <${TextField}
      label=${t(`search.${name}`)}
      hint=${t(`search.${name}Hint`)}
      error=${errorAt(problem, "search", name)}
      inputmode="numeric"
      placeholder=${placeholder}
      value=${search[name]}
      onInput=${(value) => change({ [name]: value })}
    />
  `;
  return html`
    <${CheckField}
      label=${t("search.wanted")}
      hint=${t("search.wantedHint")}
      error=${errorAt(problem, "search")}
      checked=${!!search}
      onChange=${(checked) => choose({ search: checked ? NEW_SEARCH : null })}
    />
    ${
      search &&
      html`
        <${SelectField}
          label=${t("search.among")}
          error=${errorAt(problem, "search", "model_types")}
          options=${AMONG.map((each) => [each, t(`search.among.${each}`)])}
          value=${search.among}
          onChange=${(among) =>
            change({ among, types: search.types.length ? search.types : [chosen.model_type] })}
        />
        ${search.among === "some" && html`<${Types} ...${{ names, types: search.types, change }} />`}
        <div class="features">${text("trials", "30")} ${text("seconds", "—")}</div>
      `
    }
  `;
}

const Types = ({ names, types, change }) => html`
  <div class="features" role="group" aria-label=${t("search.among.some")}>
    ${names.map((name) => {
      const toggle = (checked) =>
        change({ types: checked ? [...types, name] : types.filter((each) => each !== name) });
      return html`<${CheckField}
        key=${name}
        label=${name}
        checked=${types.includes(name)}
        onChange=${toggle}
      />`;
    })}
  </div>
`;
