// How a version did on the rows that it never saw, as pictures: confusion matrix, ROC, calibration.

import { formatCount, t } from "../lib/text.js";
import { formatShare, spell } from "../lib/format.js";
import { html } from "../lib/ui.js";
import { Table, numeric } from "./basics.js";
import { Square, at } from "./square.js";

const MOST_NUMBERS = 12;

const path = (points) =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${at(x).toFixed(1)} ${at(1 - y).toFixed(1)}`).join("");

const Legend = ({ entries }) => html`
  <ul class="legend">
    ${entries.map((text, i) => html`<li class=${`series-${i % 8}`}>${text}</li>`)}
  </ul>
`;

const Roc = ({ curves }) => html`
  <figure>
    <figcaption>${t("roc.title")}</figcaption>
    <${Square} title=${t("roc.title")} x=${t("roc.x")} y=${t("roc.y")}>
      ${curves.map(({ points }, i) => html`<path class=${`line series-${i % 8}`} d=${path(points)} />`)}
    <//>
    <${Legend} entries=${curves.map(({ label, auc }) => `${spell(label)} · ${auc.toFixed(3)}`)} />
  </figure>
`;

const MOST_CALIBRATIONS = 3;
const BINS = 10;

/** Put the bins of all classes together: the curves of many would be a tangle. */
function pooled(curves) {
  const sums = new Map();
  for (const { predicted, observed, rows } of curves.flatMap(({ bins }) => bins)) {
    const bin = Math.min(BINS - 1, Math.floor(predicted * BINS));
    const sum = sums.get(bin) ?? { predicted: 0, observed: 0, rows: 0 };
    sum.predicted += predicted * rows;
    sum.observed += observed * rows;
    sum.rows += rows;
    sums.set(bin, sum);
  }
  const bins = [...sums]
    .sort(([a], [b]) => a - b)
    .map(([, { predicted, observed, rows }]) => ({
      predicted: predicted / rows,
      observed: observed / rows,
      rows,
    }));
  return [{ label: t("calibration.all"), bins }];
}

const Calibration = ({ curves: found }) => {
  const curves = found.length > MOST_CALIBRATIONS ? pooled(found) : found;
  return html`
    <figure>
      <figcaption>${t("calibration.title")}</figcaption>
      <${Square} title=${t("calibration.title")} x=${t("calibration.x")} y=${t("calibration.y")}>
        ${curves.map(({ bins }, i) => {
          const points = bins.map(({ predicted, observed }) => [predicted, observed]);
          return html`
            <path class=${`line series-${i % 8}`} d=${path(points)} />
            ${points.map(([x, y]) => html`<circle class=${`dot series-${i % 8}`} cx=${at(x)} cy=${at(1 - y)} r="2.5" />`)}
          `;
        })}
      <//>
      <${Legend} entries=${curves.map(({ label }) => spell(label))} />
    </figure>
  `;
};

/** Rows are true classes, columns predicted ones; the shade is the share of the true class. */
const Confusion = ({ classes, confusion }) => html`
  <figure>
    <figcaption>${t("confusion.title")}</figcaption>
    <${classes.length <= MOST_NUMBERS ? ConfusionTable : ConfusionGrid}
      ...${{ classes, confusion }}
    />
    <p class="quiet">${t("confusion.hint")}</p>
  </figure>
`;

const shade = (count, row) => {
  const total = row.reduce((sum, each) => sum + each, 0);
  return total ? Math.round((count / total) * 10) : 0;
};

const ConfusionTable = ({ classes, confusion }) => html`
  <${Table}
    kind="compact"
    label=${t("confusion.title")}
    head=${["", ...classes.map((label) => numeric(spell(label)))]}
  >
    ${confusion.map(
      (row, i) => html`
        <tr>
          <th scope="row">${spell(classes[i])}</th>
          ${row.map((count, k) => html`<td class=${`cell shade-${shade(count, row)} ${i === k ? "right" : ""}`}>${formatCount(count)}</td>`)}
        </tr>
      `,
    )}
  <//>
`;

const ConfusionGrid = ({ classes, confusion }) => html`
  <svg
    viewBox=${`0 0 ${classes.length} ${classes.length}`}
    role="img"
    aria-label=${t("confusion.title")}
    class="grid"
  >
    ${confusion.flatMap((row, i) =>
      row.map(
        (count, k) =>
          count > 0 &&
          html`<rect
            class=${`shade-${Math.max(1, shade(count, row))}`}
            x=${k}
            y=${i}
            width="1"
            height="1"
          >
            <title>${`${spell(classes[i])} → ${spell(classes[k])}: ${formatCount(count)}`}</title>
          </rect>`,
      ),
    )}
  </svg>
`;

const ByClass = ({ classes }) => html`
  <${Table}
    kind="compact"
    label=${t("byClass.title")}
    head=${[t("class"), ...["rows", "precision", "recall", "f1"].map((key) => numeric(t(key)))]}
  >
    ${classes.map(
      ({ label, rows, precision, recall, f1 }) => html`
        <tr>
          <th scope="row">${spell(label)}</th>
          <td class="number">${formatCount(rows)}</td>
          <td class="number">${formatShare(precision)}</td>
          <td class="number">${formatShare(recall)}</td>
          <td class="number">${formatShare(f1)}</td>
        </tr>
      `,
    )}
  <//>
`;

/** Show the `evaluation` of a version; a sentence where it has none. */
export function Figures({ evaluation }) {
  if (!evaluation) return html`<p class="quiet">${t("evaluation.none")}</p>`;
  const { classes, confusion, roc, calibration, by_class: byClass, rows } = evaluation;
  return html`
    <p class="quiet">${t("evaluation.rows", { n: formatCount(rows) })}</p>
    <div class="figures">
      ${confusion && html`<${Confusion} classes=${classes} confusion=${confusion} />`}
      ${roc?.length > 0 && html`<${Roc} curves=${roc} />`}
      ${calibration?.length > 0 && html`<${Calibration} curves=${calibration} />`}
    </div>
    ${
      byClass?.length > 0 &&
      html`<details open=${byClass.length <= 12}>
        <summary>${t("byClass.title")}</summary>
        <${ByClass} classes=${byClass} />
      </details>`
    }
  `;
}
