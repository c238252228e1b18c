// A search: how far it has come, and the best of what it has tried.

import { formatMetric, formatSeconds, metricName } from "../lib/format.js";
import { formatCount, t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Facts, Table, numeric } from "./basics.js";

export function Search({ search, open }) {
  const { leaderboard, metric } = search;
  return html`
    <h3>${t("search.title")}</h3>
    <${Facts}
      facts=${[
        [t("search.trials"), formatCount(search.trials)],
        [t("search.running"), open && formatCount(search.running)],
        [t("search.pruned"), search.pruned > 0 && formatCount(search.pruned)],
        [t("search.failed"), search.failed > 0 && formatCount(search.failed)],
        [t("search.left"), open && search.seconds_left > 0 && formatSeconds(search.seconds_left)],
      ]}
    />
    ${
      leaderboard.length > 0 &&
      html`<${Table}
        label=${t("search.leaderboard")}
        head=${[t("train.modelType"), t("train.paramsOf"), numeric(metricName(metric))]}
      >
        ${leaderboard.map(
          ({ model_type, params, value }) =>
            html`<tr>
              <th scope="row">${model_type}</th>
              <td>${spelled(params)}</td>
              <td class="number">${formatMetric(value)}</td>
            </tr>`,
        )}
      <//>`
    }
  `;
}

/** Write parameters in a line; long fractions are shortened. */
const spelled = (params) =>
  Object.entries(params)
    .map(([name, value]) => `${name} ${short(value)}`)
    .join(", ");

const short = (value) =>
  typeof value === "number" && !Number.isInteger(value)
    ? String(Number(value.toPrecision(4)))
    : JSON.stringify(value).replaceAll('"', "");
