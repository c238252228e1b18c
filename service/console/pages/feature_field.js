// The control for one feature: a number with a slider over what training saw, a category, a switch.

import { formatNumber } from "../lib/format.js";
import { t } from "../lib/text.js";
import { html, useEffect, useState } from "../lib/ui.js";
import { Field, Pick } from "../parts/basics.js";

const STEPS = 200;

export function FeatureField({ feature, value, error, onChange }) {
  const Control = { number: NumberControl, text: TextControl, boolean: BooleanControl }[
    feature.type
  ];
  return html`
    <${Field}
      label=${html`<bdi>${feature.name}</bdi>`}
      hint=${hintOf(feature, value)}
      error=${error}
    >
      ${(tied) => html`<${Control} ...${{ tied, feature, value, onChange }} />`}
    <//>
  `;
}

function hintOf({ type, nullable, minimum, maximum }, value) {
  const seen = type === "number" && minimum !== undefined;
  const range = seen && { low: formatNumber(minimum), high: formatNumber(maximum) };
  if (seen && typeof value === "number" && (value < minimum || value > maximum))
    return t("feature.outside", range);
  return [range && t("feature.range", range), nullable && t("feature.nullable")]
    .filter(Boolean)
    .join(" · ");
}

/** Return a number with as many digits as its range is worth. */
function rounded(value, span) {
  const digits = Math.max(0, 2 - Math.floor(Math.log10(span)));
  return Number(value.toFixed(Math.min(digits, 20)));
}

function NumberControl({ tied, feature: { name, minimum, maximum }, value, onChange }) {
  const [text, setText] = useState(value === null ? "" : String(value));
  useEffect(() => {
    // What is being typed stays as it is: "1." and "1" are the same number.
    if (text === "" ? value !== null : Number(text) !== value)
      setText(value === null ? "" : String(value));
  }, [value]);
  const typed = (event) => {
    setText(event.target.value);
    const number = event.target.value.trim() === "" ? null : Number(event.target.value);
    // The API says what is wrong with what is no number.
    onChange(Number.isNaN(number) ? event.target.value : number);
  };
  const span = maximum - minimum;
  return html`
    <div class="number-control">
      <input ...${tied} inputmode="decimal" autocomplete="off" value=${text} onInput=${typed} />
      ${
        span > 0 &&
        html`<input
          type="range"
          aria-label=${t("feature.slider", { name })}
          min=${minimum}
          max=${maximum}
          step=${span / STEPS}
          value=${typeof value === "number" ? value : minimum}
          onInput=${(event) => onChange(rounded(Number(event.target.value), span))}
        />`
      }
    </div>
  `;
}

function TextControl({ tied, feature: { categories, nullable }, value, onChange }) {
  const change = (text) => onChange(text === "" && nullable ? null : text);
  if (!categories)
    return html`<input
      ...${tied}
      value=${value ?? ""}
      onInput=${(event) => change(event.target.value)}
    />`;
  return html`<${Pick}
    tied=${tied}
    options=${categories}
    value=${value ?? ""}
    onChange=${change}
    empty=${nullable ? t("feature.missing") : null}
  />`;
}

function BooleanControl({ tied, feature: { nullable }, value, onChange }) {
  const change = (event) => onChange({ true: true, false: false }[event.target.value] ?? null);
  return html`
    <select ...${tied} value=${String(value)} onChange=${change}>
      ${nullable && html`<option value="null" selected=${value === null}>${t("feature.missing")}</option>`}
      <option value="true" selected=${value === true}>true</option>
      <option value="false" selected=${value === false}>false</option>
    </select>
  `;
}
