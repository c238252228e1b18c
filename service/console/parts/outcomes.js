// How right a version was, day by day, once the truth was told.

import { formatMetric, formatShare, metricName } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { formatCount, t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Card, Table, numeric } from "./basics.js";
import { Curl } from "./curl.js";
import { Problem } from "./problem.js";
import { Square, at } from "./square.js";

const METRICS = ["accuracy", "balanced_accuracy", "f1", "log_loss", "brier"];
const DAYS = "30";

/** Each tenth with its 95 % interval: right where the line crosses the diagonal. */
const Calibration = ({ bins, title }) => html`
  <figure>
    <figcaption>${title}</figcaption>
    <${Square} title=${title} x=${t("calibration.x")} y=${t("calibration.y")}>
      ${bins.map(
        ({ predicted, observed, low, high, rows }) => html`
          <g class="series-0">
            <title>
              ${`${formatShare(predicted)} → ${formatShare(observed)} (${formatCount(rows)})`}
            </title>
            <path class="line" d=${`M${at(predicted)} ${at(1 - low)}V${at(1 - high)}`} />
            <circle class="dot" cx=${at(predicted)} cy=${at(1 - observed)} r="3" />
          </g>
        `,
      )}
    <//>
  </figure>
`;

const Days = ({ outcomes, training }) => html`
  <${Table}
    label=${t("outcomes.title")}
    head=${[t("outcomes.day"), ...["", ...METRICS].map((metric) => numeric(metric ? metricName(metric) : t("rows")))]}
  >
    ${
      training &&
      html`<tr>
        <th scope="row">${t("skew.training")}</th>
        <td></td>
        ${METRICS.map((metric) => html`<td class="number">${formatMetric(training[metric])}</td>`)}
      </tr>`
    }
    ${outcomes.map(
      (one) =>
        html`<tr key=${one.day}>
          <th scope="row">${one.day}</th>
          <td class="number">${formatCount(one.rows)}</td>
          ${METRICS.map((metric) => html`<td class="number">${formatMetric(one[metric] ?? undefined)}</td>`)}
        </tr>`,
    )}
  <//>
`;

/** `example` is a request for predictions that works; its instances are sent with a label. */
export function Outcomes({ model, version, example, classes }) {
  const call = { path: ["outcomes"], query: { name: model, version, days: DAYS } };
  const { data, problem, reload } = useLoad(call);
  const [latest] = data?.outcomes ?? [];
  return html`
    <${Card} title=${t("outcomes.title")}>
      <p class="quiet">${t("outcomes.lead")}</p>
      <${Problem} problem=${problem} retry=${reload} />
      ${data && !latest && html`<p>${t("outcomes.none")}</p>`}
      ${latest && html`<${Days} outcomes=${data.outcomes} training=${data.training} />`}
      ${
        latest?.calibration &&
        html`<${Calibration}
          title=${t("outcomes.calibration", { day: latest.day })}
          bins=${latest.calibration}
        />`
      }
      <${Curl}
        title=${t("curl.outcomes")}
        call=${{
          method: "POST",
          path: ["outcomes"],
          json: { name: model, version, instances: example.instances, labels: [classes[0]] },
        }}
      />
    <//>
  `;
}
