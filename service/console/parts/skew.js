// How what is asked, and what is answered, differs from training, as pictures.

import { formatNumber, formatShare, spell } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { formatCount, t } from "../lib/text.js";
import { html, useState } from "../lib/ui.js";
import { Age, Badge, Card, Loading } from "./basics.js";
import { Curl } from "./curl.js";
import { SearchField, SelectField } from "./fields.js";
import { Problem } from "./problem.js";

const EVERY_MILLISECONDS = 10_000;
const WINDOWS = ["5m", "1h", "24h", "7d", "14d"];
const SHOWN = 12;
const BAR = 14;
const GAP = 6;
const HEIGHT = 64;

const KINDS = { ok: "good", drift: "bad", "too few rows": "" };
const VERDICTS = { ok: "skew.ok", drift: "skew.drift", "too few rows": "skew.few" };

const Verdict = ({ of }) => html`<${Badge} kind=${KINDS[of]}>${t(VERDICTS[of])}<//>`;

/** Pairs of bars: the share in training, and the share in the window. */
function Bars({ title, bins }) {
  const most = Math.max(...bins.flatMap(({ share, expected }) => [share, expected]), 1e-9);
  const height = (share) => (share / most) * HEIGHT;
  const bar = (kind, share, x) =>
    html`<rect
      class=${kind}
      x=${x}
      y=${HEIGHT - height(share)}
      width=${BAR}
      height=${height(share)}
    />`;
  const width = bins.length * (2 * BAR + GAP);
  return html`
    <svg
      class="pairs"
      preserveAspectRatio="xMinYMin meet"
      viewBox=${`0 0 ${Math.max(width, 220)} ${HEIGHT + 1}`}
      role="img"
      aria-label=${title}
    >
      ${bins.map(
        ({ label, share, expected }, i) => html`
          <g transform=${`translate(${i * (2 * BAR + GAP)} 0)`}>
            <title>
              ${`${label}: ${t("skew.training")} ${formatShare(expected)}, ${t("skew.now")} ${formatShare(share)}`}
            </title>
            ${bar("expected", expected, 0)} ${bar("share", share, BAR)}
          </g>
        `,
      )}
      <path class="axis" d=${`M0 ${HEIGHT}H${width}`} />
    </svg>
  `;
}

/** What is worth a word about a feature, besides its bins. */
function remarks({ missing, expected_missing: expected, below, above, unseen }) {
  const counted = (key, count) => count > 0 && t(key, { n: formatCount(count) });
  return [
    missing > 0 && t("skew.missing", { n: formatCount(missing), expected: formatNumber(expected) }),
    counted("skew.below", below),
    counted("skew.above", above),
    counted("skew.unseen", unseen),
  ].filter(Boolean);
}

const Feature = ({ feature }) => html`
  <li>
    <p>
      <b><bdi>${feature.name}</bdi></b> <${Verdict} of=${feature.verdict} />
      ${
        feature.psi !== null &&
        html`<span class="quiet">
          ${t("skew.psi", { psi: formatNumber(feature.psi), limit: formatNumber(feature.limit) })}
        </span>`
      }
    </p>
    <${Bars} title=${t("skew.picture", { name: feature.name })} bins=${feature.bins} />
    <p class="quiet">${remarks(feature).join(" · ")}</p>
  </li>
`;

function Answers({ predictions }) {
  const bins = predictions.classes.map((one) => ({ ...one, label: spell(one.label) }));
  return html`
    <h3>${t("skew.answers")} <${Verdict} of=${predictions.verdict} /></h3>
    <${Bars} title=${t("skew.answers")} bins=${bins.slice(0, 2 * SHOWN)} />
    ${
      predictions.confidence &&
      html`
        <h3>${t("skew.confidence")} <${Verdict} of=${predictions.confidence.verdict} /></h3>
        <${Bars} title=${t("skew.confidence")} bins=${predictions.confidence.bins} />
      `
    }
  `;
}

function Report({ report }) {
  const [wanted, setWanted] = useState("");
  const found = report.features.filter(({ name }) =>
    name.toLowerCase().includes(wanted.trim().toLowerCase()),
  );
  const shown = found.slice(0, SHOWN);
  return html`
    <p role="status">
      ${t("skew.rows", { n: formatCount(report.rows), sampled: formatCount(report.sampled) })}
      ${report.since && html`${" "}${t("skew.since")} <${Age} time=${report.since} />`}
    </p>
    ${report.missing.length > 0 && html`<p class="problem">${t("watch.silent", { names: report.missing.join(", ") })}</p>`}
    <ul class="legend pairs-legend">
      <li class="expected">${t("skew.training")}</li>
      <li class="share">${t("skew.now")}</li>
    </ul>
    ${
      report.features.length > SHOWN &&
      html`<${SearchField}
        label=${t("predict.find")}
        hint=${t("predict.shown", { n: shown.length, all: formatCount(report.features.length) })}
        value=${wanted}
        onInput=${setWanted}
      />`
    }
    <ul class="skew">
      ${shown.map((feature) => html`<${Feature} key=${feature.name} feature=${feature} />`)}
    </ul>
    <${Answers} predictions=${report.predictions} />
  `;
}

/** `range` is the window, one of `WINDOWS` or another that the API takes. */
export function Skew({ range, onRange }) {
  const call = { path: ["skew"], query: { window: range } };
  const { data, problem, loading, reload } = useLoad(call, { every: EVERY_MILLISECONDS });
  const windows = WINDOWS.includes(range) ? WINDOWS : [range, ...WINDOWS];
  return html`
    <${Card} title=${t("skew.title")}>
      <${SelectField}
        label=${t("skew.window")}
        options=${windows.map((each) => [each, each])}
        value=${range}
        onChange=${onRange}
      />
      ${loading && html`<${Loading} />`}
      <${Problem} problem=${problem} retry=${problem?.status === 409 ? null : reload} />
      ${data && html`<${Report} report=${data} />`}
      <${Curl} title=${t("curl.skew")} call=${call} />
    <//>
  `;
}
