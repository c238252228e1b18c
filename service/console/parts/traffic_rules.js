// What the rules say of the second version now, with every figure that they look at.

import { formatFineShare, formatNumber } from "../lib/format.js";
import { formatCount, t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Badge, Facts, Table, numeric } from "./basics.js";

/** How each figure is written, and what it is to be of its bound. */
const FIGURES = {
  rows: [formatCount, "≥"],
  agreement: [formatFineShare, "≥"],
  errors: [formatFineShare, "≤"],
  latency_ratio: [formatNumber, "≤"],
  quality: [formatNumber, "≥"],
  worse: [formatNumber, "<"],
};

const Verdict = ({ holds }) =>
  holds === null
    ? html`<${Badge}>${t("traffic.undecided")}<//>`
    : html`<${Badge} kind=${holds ? "good" : "bad"}
        >${t(holds ? "traffic.holds" : "traffic.fails")}<//
      >`;

/** Return the key of what is decided now; what `then` and `else` leave to people is "wait" too. */
function decisionOf({ decision, checks }) {
  if (decision !== "wait") return decision;
  if (checks.some(({ holds }) => holds === false)) return "askEnd";
  return checks.some(({ holds }) => holds === null) ? "wait" : "askPromote";
}

export function TrafficRules({ rules, judgement }) {
  const title = t("traffic.rules");
  if (!rules || !judgement) {
    return html`
      <h3>${title}</h3>
      <p>${t("traffic.noRules")}</p>
    `;
  }
  const nameOf = (name) =>
    name === "quality" ? t(`traffic.rule.${rules.quality}`) : t(`traffic.rule.${name}`);
  return html`
    <h3>${title}</h3>
    <p role="status"><b>${t(`traffic.decision.${decisionOf(judgement)}`)}</b></p>
    <${Table}
      kind="compact tight"
      label=${title}
      head=${[t("traffic.rule"), numeric(t("traffic.now")), numeric(t("traffic.bound"))]}
    >
      ${judgement.checks.map(({ name, value, bound, holds }) => {
        const [write, sign] = FIGURES[name];
        return html`<tr key=${name}>
          <th scope="row">${nameOf(name)} <${Verdict} holds=${holds} /></th>
          <td class="number">${value === null ? "" : write(value)}</td>
          <td class="number">${sign} ${write(bound)}</td>
        </tr>`;
      })}
    <//>
    <${Facts}
      facts=${["then", "else"].map((name) => [t(`traffic.ask.${name}`), t(`traffic.${name}.${rules[name]}`)])}
    />
  `;
}
