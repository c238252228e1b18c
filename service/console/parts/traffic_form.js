// Which version to put beside the one in use, how, and by which rules it is judged.

import { usePages } from "../lib/pages.js";
import { useAction } from "../lib/load.js";
import { t } from "../lib/text.js";
import { trafficCall, USUAL } from "../lib/traffic_call.js";
import { html, useState } from "../lib/ui.js";
import { RoleButton } from "./access.js";
import { Field, Loading, Pick } from "./basics.js";
import { Curl } from "./curl.js";
import { CheckField, SelectField, TextField } from "./fields.js";
import { MoreButton } from "./more_button.js";
import { errorAt, Problem } from "./problem.js";
import { change } from "./use.js";

/** The versions are asked for once somebody opens it. */
export function TrafficForm() {
  const [open, setOpen] = useState(false);
  return html`
    <details onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>${t("traffic.open")}</summary>
      ${open && html`<${Choice} />`}
    </details>
  `;
}

const titleOf = ({ name, version }) => `${name} ${version}`;

function Choice() {
  const pages = usePages({ path: ["models"] }, { list: "models", idOf: titleOf, every: null });
  const [chosen, setChosen] = useState(USUAL);
  const [title, setTitle] = useState(null);
  const action = useAction(change);
  if (pages.loading) return html`<${Loading} />`;
  if (!pages.data) return html`<${Problem} problem=${pages.problem} retry=${pages.reload} />`;
  const others = pages.shown.filter((each) => !each.in_use && each.servable !== false);
  if (others.length === 0) {
    return html`
      <p>${t("traffic.noOther")} <a href="#/train">${t("predict.trainOne")}</a></p>
      <${MoreButton} pages=${pages} />
    `;
  }
  const version = others.find((each) => titleOf(each) === title) ?? others[0];
  const call = trafficCall(version, chosen);
  const submit = (event) => {
    event.preventDefault();
    action.run(call);
  };
  const choose = (more) => setChosen((before) => ({ ...before, ...more }));
  return html`
    <form onSubmit=${submit}>
      <div class="features">
        <${Field} label=${t("traffic.version")} error=${errorAt(action.problem, "version")}>
          ${(tied) =>
            html`<${Pick}
              tied=${tied}
              options=${others.map(titleOf)}
              value=${titleOf(version)}
              onChange=${setTitle}
            />`}
        <//>
        <${Share} chosen=${chosen} choose=${choose} problem=${action.problem} />
      </div>
      <${MoreButton} pages=${pages} />
      <${CheckField}
        label=${t("traffic.judged")}
        hint=${t("traffic.judgedHint")}
        checked=${chosen.judged}
        onChange=${(judged) => choose({ judged })}
      />
      ${
        chosen.judged &&
        html`<${Rules}
          rules=${chosen.rules}
          choose=${(more) => choose({ rules: { ...chosen.rules, ...more } })}
          problem=${action.problem}
        />`
      }
      <div class="actions">
        <${RoleButton} role="admin" type="submit" class="primary" disabled=${action.busy}>
          ${action.busy ? t("use.busy") : t("traffic.begin")}
        <//>
      </div>
      <${Problem} problem=${action.problem} placed=${hasField} />
    </form>
    <${Curl} title=${t("curl.begin")} call=${call} />
  `;
}

/** Whether what a pointer points to has a field here, where its sentence is shown. */
const hasField = (pointer) => /^\/(version|mode|percent|key|rules\/.+)$/.test(pointer);

function Share({ chosen, choose, problem }) {
  const { mode, percent, key } = chosen;
  return html`
    <${SelectField}
      label=${t("traffic.mode")}
      hint=${t(`traffic.${mode}Hint`)}
      error=${errorAt(problem, "mode")}
      options=${["shadow", "split"].map((each) => [each, t(`traffic.${each}`)])}
      value=${mode}
      onChange=${(next) => choose({ mode: next })}
    />
    <${TextField}
      label=${t("traffic.percent")}
      hint=${t(`traffic.${mode}Of`)}
      error=${errorAt(problem, "percent")}
      inputmode="numeric"
      value=${percent}
      onInput=${(value) => choose({ percent: value })}
    />
    ${
      mode === "split" &&
      html`<${TextField}
        label=${t("traffic.key")}
        hint=${t("traffic.keyHint")}
        error=${errorAt(problem, "key")}
        placeholder="X-Customer"
        value=${key}
        onInput=${(value) => choose({ key: value })}
      />`
    }
  `;
}

function Rules({ rules, choose, problem }) {
  const text = (name, inputmode, placeholder) => html`
    <${TextField}
      label=${t(`traffic.ask.${name}`)}
      hint=${t(`traffic.hint.${name}`)}
      error=${errorAt(problem, "rules", name)}
      inputmode=${inputmode}
      placeholder=${placeholder}
      value=${rules[name]}
      onInput=${(value) => choose({ [name]: value })}
    />
  `;
  const select = (name, values, hint) => html`
    <${SelectField}
      label=${t(`traffic.ask.${name}`)}
      hint=${hint}
      error=${errorAt(problem, "rules", name)}
      options=${values.map((each) => [each, t(`traffic.${name}.${each || "none"}`)])}
      value=${rules[name]}
      onChange=${(value) => choose({ [name]: value })}
    />
  `;
  return html`
    <div class="features" role="group" aria-label=${t("traffic.rules")}>
      ${text("rows", "numeric", "2000")} ${text("agreement", "decimal")}
      ${text("errors", "decimal")} ${text("latency_ratio", "decimal")}
      ${select("quality", ["", "not worse", "better"], t("traffic.hint.quality"))}
      ${select("then", ["promote", "ask"])} ${select("else", ["end", "ask"])}
    </div>
  `;
}
