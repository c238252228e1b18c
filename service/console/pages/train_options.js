// Which classifier, with which parameters, and how it is measured.

import { useLoad } from "../lib/load.js";
import { spell } from "../lib/format.js";
import { t } from "../lib/text.js";
import { NOTHING_CHOSEN } from "../lib/train_call.js";
import { html } from "../lib/ui.js";
import { Card } from "../parts/basics.js";
import { CheckField, SelectField, TextField } from "../parts/fields.js";
import { errorAt, Problem } from "../parts/problem.js";
import { isOfOne, TrainSearch } from "./train_search.js";

const ENCODINGS = [
  ["", "utf-8"],
  ...["windows-1252", "iso-8859-1", "utf-16"].map((name) => [name, name]),
];

export function TrainOptions({ chosen, choose, problem, isFile }) {
  const types = useLoad({ path: ["model-types"] });
  const found = types.data?.model_types ?? [];
  const type = found.find(({ name }) => name === chosen.model_type);
  const text = (name, label, hint, more = {}) => html`
    <${TextField}
      ...${more}
      label=${label}
      hint=${hint}
      error=${errorAt(problem, name)}
      value=${chosen[name]}
      onInput=${(value) => choose({ [name]: value })}
    />
  `;
  const box = (name, label, hint, on = true) => html`
    <${CheckField}
      label=${label}
      hint=${hint}
      error=${errorAt(problem, name)}
      checked=${chosen[name] === on}
      onChange=${(checked) => choose({ [name]: checked ? on : NOTHING_CHOSEN[name] })}
    />
  `;
  return html`
    <${Card} title=${t("train.classifier")}>
      <${Problem} problem=${types.data ? null : types.problem} retry=${types.reload} />
      <${TrainSearch} ...${{ chosen, choose, problem, names: found.map(({ name }) => name) }} />
      ${
        isOfOne(chosen) &&
        html`<${SelectField}
          label=${t("train.modelType")}
          hint=${type?.summary}
          error=${errorAt(problem, "model_type")}
          options=${found.map(({ name }) => [name, name])}
          value=${chosen.model_type}
          onChange=${(name) => choose({ model_type: name, params: {} })}
        />`
      }
      ${text("name", t("train.name"), t("train.nameHint"))}
      ${
        type &&
        isOfOne(chosen) &&
        html`<details>
          <summary>${t("train.params", { n: Object.keys(type.params).length })}</summary>
          <div class="features">
            ${Object.entries(type.params).map(
              ([name, param]) =>
                html`<${ParamField}
                  key=${`${type.name}/${name}`}
                  name=${name}
                  param=${param}
                  value=${chosen.params[name]}
                  error=${errorAt(problem, "params", name)}
                  onChange=${(value) => choose({ params: without(chosen.params, name, value) })}
                />`,
            )}
          </div>
        </details>`
      }
      <details>
        <summary>${t("train.more")}</summary>
        <div class="features">
          ${isFile && text("missing", t("train.missing"), t("train.missingHint"), { placeholder: "NA, ?" })}
          ${
            isFile &&
            html`<${SelectField}
              label=${t("train.encoding")}
              error=${errorAt(problem, "encoding")}
              options=${ENCODINGS}
              value=${chosen.encoding}
              onChange=${(encoding) => choose({ encoding })}
            />`
          }
          ${text("test_size", t("train.testSize"), t("train.testSizeHint"), { inputmode: "decimal", placeholder: "0.2" })}
          ${text("cv", t("train.cv"), t("train.cvHint"), { inputmode: "numeric", placeholder: "—" })}
          ${text("seed", t("train.seed"), "", { inputmode: "numeric", placeholder: "0" })}
          ${box("class_weight", t("train.balanced"), t("train.balancedHint"), "balanced")}
          ${box("unknown_categories", t("train.ignoreUnknown"), t("train.ignoreUnknownHint"), "ignore")}
          ${box("refit", t("train.refit"), t("train.refitHint"))}
        </div>
      </details>
    <//>
  `;
}

function without(params, name, value) {
  const { [name]: _, ...others } = params;
  return value === undefined ? others : { ...others, [name]: value };
}

/** Return the value that a text stands for: one of the choices, a number, or what was written. */
function valueOf(text, { choices = [] }) {
  if (text === "") return undefined;
  const choice = choices.find((each) => String(each) === text);
  if (choice !== undefined) return choice;
  return text.trim() !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
}

const isList = ({ type, choices, also }) =>
  type === "boolean" || (type === "text" && !!choices && !also);

function ParamField({ name, param, value, error, onChange }) {
  const choices = param.type === "boolean" ? [true, false] : (param.choices ?? []);
  const standard = String(param.default);
  const written = value === undefined ? "" : String(value);
  const shown = {
    label: html`<code>${name}</code>`,
    hint: boundsOf(param),
    error,
    value: written,
  };
  const change = (text) => onChange(valueOf(text, { choices }));
  if (!isList(param)) {
    return html`<${TextField} ...${shown} placeholder=${standard} onInput=${change} />`;
  }
  const options = choices.map((choice) => [String(choice), String(choice)]);
  const unset = ["", t("train.default", { value: standard })];
  return html`<${SelectField} ...${shown} options=${[unset, ...options]} onChange=${change} />`;
}

function boundsOf({ type, minimum, maximum, choices, also, exclusive = [] }) {
  if (type === "boolean" || (type === "text" && !also)) return "";
  const range = ({ type, minimum, maximum, exclusive = [] }) =>
    `${type} ${exclusive.includes("minimum") ? ">" : "≥"} ${minimum}, ${exclusive.includes("maximum") ? "<" : "≤"} ${maximum}`;
  const parts = minimum === undefined ? [] : [range({ type, minimum, maximum, exclusive })];
  if (also) parts.push(range(also));
  if (choices)
    parts.push(choices.map((choice) => (choice === null ? "null" : spell(choice))).join(", "));
  return parts.join(` ${t("or")} `);
}
