// How the second version does beside the one in use.

import { formatFineShare, formatNumber, formatShare, spell } from "../lib/format.js";
import { address } from "../lib/router.js";
import { formatCount, t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Age, Badge, Facts, Table, numeric } from "./basics.js";
import { Interval } from "./interval.js";
import { TrafficRules } from "./traffic_rules.js";

/** Evidence from which on a claim counts as shown: wrong ones reach it in at most 5 % of cases. */
const ENOUGH = 20;

/** Pairs of classes that are shown at once; a service of many classes gives up to 50. */
const SHOWN = 12;

export const TrafficState = ({ second }) => html`
  <${About} second=${second} />
  ${
    second.missing.length > 0 &&
    html`<p class="problem" role="status">
      ${t("watch.silent", { names: second.missing.join(", ") })}
    </p>`
  }
  <div class="pair">
    <div>
      <${Agreement} second=${second} />
      <${TrafficRules} rules=${second.rules} judgement=${second.judgement} />
    </div>
    <div>
      <${Both} second=${second} />
      <${Disagreements} second=${second} />
      <${Outcomes} outcomes=${second.outcomes} />
    </div>
  </div>
`;

const titleOf = ({ name, version }) => `${name} ${version}`;

const Link = ({ of: { name, version } }) =>
  html`<a href=${address(["models", name, String(version)])}><bdi>${name}</bdi> ${version}</a>`;

function About({ second }) {
  const { mode, percent, key, since, in_use: inUse } = second;
  return html`
    <${Facts}
      facts=${[
        [t("traffic.second"), html`<${Link} of=${second} />`],
        [t("inUse"), html`<${Link} of=${inUse} />`],
        [t("traffic.mode"), t(`traffic.${mode}`)],
        [t("traffic.share"), `${formatFineShare(percent / 100)} ${t(`traffic.${mode}Of`)}`],
        [t("traffic.key"), key && html`<code>${key}</code>`],
        [t("traffic.since"), since && html`<${Age} time=${since} />`],
      ]}
    />
  `;
}

function Agreement({ second: { rows, agreement, low, high, rules } }) {
  const title = t("traffic.agreement");
  if (rows === 0) {
    return html`
      <h3>${title}</h3>
      <p role="status">${t("traffic.noRows")}</p>
    `;
  }
  return html`
    <h3>${title}</h3>
    <p>
      ${t("traffic.alike", { share: formatFineShare(agreement), n: formatCount(rows) })}${" "}
      ${t("traffic.interval", { low: formatShare(low), high: formatShare(high) })}
    </p>
    <${Interval}
      title=${title}
      value=${agreement}
      low=${low}
      high=${high}
      bound=${rules?.agreement ?? null}
    />
  `;
}

function Disagreements({ second }) {
  const { disagreements: pairs } = second;
  if (pairs.length === 0) return null;
  const head = [titleOf(second.in_use), titleOf(second), numeric(t("rows"))];
  return html`
    <h3>${t("traffic.differ")}</h3>
    <${Pairs} label=${t("traffic.differ")} head=${head} pairs=${pairs.slice(0, SHOWN)} />
    ${
      pairs.length > SHOWN &&
      html`<details>
        <summary>${t("more")}</summary>
        <${Pairs} label=${t("more")} head=${head} pairs=${pairs.slice(SHOWN)} />
      </details>`
    }
  `;
}

/** Rows by the class that each version answered. */
const Pairs = ({ label, head, pairs }) => html`
  <${Table} kind="compact tight" label=${label} head=${head}>
    ${pairs.map(
      ({ in_use: inUse, second, rows }) =>
        html`<tr key=${JSON.stringify([inUse, second])}>
          <td><bdi>${spell(inUse)}</bdi></td>
          <td><bdi>${spell(second)}</bdi></td>
          <td class="number">${formatCount(rows)}</td>
        </tr>`,
    )}
  <//>
`;

/** Counts are written in full, and times with what is significant of them. */
const written = (value) => (Number.isInteger(value) ? formatCount(value) : formatNumber(value));

function Both({ second }) {
  const { latency, outcomes, in_use: inUse, shed } = second;
  const lines = [
    ["traffic.answered", second.in_use_rows, second.second_rows],
    ["traffic.failed", second.in_use_errors, second.errors],
  ];
  if (outcomes)
    lines.push(["traffic.onlyRight", outcomes.only_in_use_right, outcomes.only_second_right]);
  if (latency) lines.push(["traffic.latency", latency.in_use_ms, latency.second_ms]);
  return html`
    <h3>${t("traffic.both")}</h3>
    <${Table}
      kind="compact tight"
      label=${t("traffic.both")}
      head=${["", numeric(titleOf(inUse)), numeric(titleOf(second))]}
    >
      ${lines.map(
        ([key, first, other]) =>
          html`<tr key=${key}>
            <th scope="row">${t(key)}</th>
            <td class="number">${written(first)}</td>
            <td class="number">${written(other)}</td>
          </tr>`,
      )}
    <//>
    <p class="quiet">
      ${latency && t("traffic.ratio", { ratio: formatNumber(latency.ratio), n: formatCount(latency.timed) })}${" "}
      ${shed > 0 && t("traffic.shed", { n: formatCount(shed) })}
    </p>
  `;
}

const CLAIMS = ["better", "not_worse", "worse"];

const Shown = ({ claim, of }) =>
  of[claim] >= ENOUGH
    ? html`<${Badge} kind=${claim === "worse" ? "bad" : "good"}>${t("traffic.shown")}<//>`
    : html`<${Badge}>${t("traffic.notShown")}<//>`;

function Outcomes({ outcomes }) {
  const title = t("traffic.outcomes");
  if (!outcomes) {
    return html`
      <h3>${title}</h3>
      <p class="quiet">${t("traffic.noOutcomes")}</p>
    `;
  }
  return html`
    <h3>${title}</h3>
    <p>${t("traffic.told", { n: formatCount(outcomes.rows) })}</p>
    <${Table}
      kind="compact tight"
      label=${title}
      head=${[t("traffic.claim"), numeric(t("traffic.evidence"))]}
    >
      ${CLAIMS.map(
        (claim) =>
          html`<tr key=${claim}>
            <th scope="row">
              ${t(`traffic.is.${claim}`)} <${Shown} claim=${claim} of=${outcomes} />
            </th>
            <td class="number">${formatNumber(outcomes[claim])}</td>
          </tr>`,
      )}
    <//>
    <p class="quiet">${t("traffic.enough", { n: ENOUGH })}</p>
  `;
}
