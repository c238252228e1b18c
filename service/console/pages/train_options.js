// Which classifier, with which parameters, and how it is measured.

import { useLoad } from "../lib/load.js";
import { spell } from "../lib/format.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Card, Field } from "../parts/basics.js";
import { errorAt, Problem } from "../parts/problem.js";

const ENCODINGS = ["windows-1252", "iso-8859-1", "utf-16"];

export function TrainOptions({ chosen, choose, problem, isFile }) {
  const types = useLoad({ path: ["model-types"] });
  const found = types.data?.model_types ?? [];
  const type = found.find(({ name }) => name === chosen.model_type);
  const text = (name, label, hint, more = {}) => html`
    <${Field} label=${label} hint=${hint} error=${errorAt(problem, name)}>
      ${(tied) => html`<input ...${tied} ...${more} value=${chosen[name]} onInput=${(event) => choose({ [name]: event.target.value })} />`}
    <//>
  `;
  const box = (name, label, hint, on = true) => html`
    <${Field} label=${label} hint=${hint} inline error=${errorAt(problem, name)}>
      ${(tied) => html`<input ...${tied} type="checkbox" checked=${chosen[name] === on} onChange=${(event) => choose({ [name]: event.target.checked ? on : NOTHING[name] })} />`}
    <//>
  `;
  return html`
    <${Card} title=${t("train.classifier")}>
      <${Problem} problem=${types.data ? null : types.problem} retry=${types.reload} />
      <${Field} label=${t("train.modelType")} hint=${type?.summary} error=${errorAt(problem, "model_type")}>
        ${(tied) => html`<select ...${tied} value=${chosen.model_type} onChange=${(event) => choose({ model_type: event.target.value, params: {} })}>
          ${found.map(({ name }) => html`<option value=${name} selected=${name === chosen.model_type}>${name}</option>`)}
        </select>`}
      <//>
      ${text("name", t("train.name"), t("train.nameHint"))}
      ${type && html`
        <details>
          <summary>${t("train.params", { n: Object.keys(type.params).length })}</summary>
          <div class="features">
            ${Object.entries(type.params).map(([name, param]) => html`
              <${ParamField} key=${`${type.name}/${name}`} name=${name} param=${param} value=${chosen.params[name]} error=${errorAt(problem, "params", name)}
                onChange=${(value) => choose({ params: without(chosen.params, name, value) })} />`)}
          </div>
        </details>`}
      <details>
        <summary>${t("train.more")}</summary>
        <div class="features">
          ${isFile && text("missing", t("train.missing"), t("train.missingHint"), { placeholder: "NA, ?" })}
          ${isFile && html`
            <${Field} label=${t("train.encoding")} error=${errorAt(problem, "encoding")}>
              ${(tied) => html`<select ...${tied} onChange=${(event) => choose({ encoding: event.target.value })}>
                <option value="">utf-8</option>
                ${ENCODINGS.map((name) => html`<option value=${name} selected=${name === chosen.encoding}>${name}</option>`)}
              </select>`}
            <//>`}
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

const NOTHING = { class_weight: "", unknown_categories: "", refit: false };

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

const isList = ({ type, choices, also }) => type === "boolean" || (type === "text" && !!choices && !also);

function ParamField({ name, param, value, error, onChange }) {
  const choices = param.type === "boolean" ? [true, false] : (param.choices ?? []);
  const standard = String(param.default);
  const written = value === undefined ? "" : String(value);
  return html`
    <${Field} label=${html`<code>${name}</code>`} hint=${boundsOf(param)} error=${error}>
      ${(tied) =>
        isList(param)
          ? html`<select ...${tied} onChange=${(event) => onChange(valueOf(event.target.value, { choices }))}>
              <option value="">${t("train.default", { value: standard })}</option>
              ${choices.map((choice) => html`<option value=${String(choice)} selected=${choice === value}>${String(choice)}</option>`)}
            </select>`
          : html`<input ...${tied} placeholder=${standard} value=${written} autocomplete="off" onInput=${(event) => onChange(valueOf(event.target.value, { choices }))} />`}
    <//>
  `;
}

function boundsOf({ type, minimum, maximum, choices, also, exclusive = [] }) {
  if (type === "boolean" || (type === "text" && !also)) return "";
  const range = ({ type, minimum, maximum, exclusive = [] }) =>
    `${type} ${exclusive.includes("minimum") ? ">" : "≥"} ${minimum}, ${exclusive.includes("maximum") ? "<" : "≤"} ${maximum}`;
  const parts = minimum === undefined ? [] : [range({ type, minimum, maximum, exclusive })];
  if (also) parts.push(range(also));
  if (choices) parts.push(choices.map((choice) => (choice === null ? "null" : spell(choice))).join(", "));
  return parts.join(` ${t("or")} `);
}
