// What is known of a version: its metrics beside those of the one in use, and its pictures.

import { formatDifference, formatMetric, metricName } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { address } from "../lib/router.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Card, Loading, Table, numeric } from "../parts/basics.js";
import { Figures } from "../parts/figures.js";
import { Problem } from "../parts/problem.js";
import { UseButton } from "../parts/use.js";

/** Metrics of which less is better. */
const LOSSES = ["log_loss"];

/** Show metrics of versions in columns; with two, how the first differs from the second. */
export function Metrics({ columns }) {
  const names = [...new Set(columns.flatMap(({ metrics }) => Object.keys(metrics)))].sort();
  const [first, second] = columns;
  const both = columns.length === 2;
  const better = (name) => {
    const by = (first.metrics[name] - second.metrics[name]) * (LOSSES.includes(name) ? -1 : 1);
    return by > 0 ? "better" : by < 0 ? "worse" : "";
  };
  const difference = (name) =>
    name in first.metrics &&
    name in second.metrics &&
    formatDifference(first.metrics[name] - second.metrics[name]);
  return html`
    <${Table}
      kind="compact"
      label=${t("metrics")}
      head=${[t("metric"), ...columns.map(({ title }) => numeric(title)), ...(both ? [numeric(t("difference"))] : [])]}
    >
      ${names.map(
        (name) =>
          html`<tr>
            <th scope="row">${metricName(name)}</th>
            ${columns.map(({ metrics }) => html`<td class="number">${formatMetric(metrics[name])}</td>`)}
            ${both && html`<td class=${`number ${better(name)}`}>${difference(name)}</td>`}
          </tr>`,
      )}
    <//>
  `;
}

/** The version that is in use; null where there is none. */
export function useInUse() {
  const { data: ready } = useLoad({ path: ["readyz"] });
  const found = useLoad(
    ready?.model ? { path: ["models", ready.model, "versions", String(ready.version)] } : null,
  );
  return found.data ?? null;
}

/** What has to be equal before figures of two versions say anything beside each other. */
const contractOf = ({ schema }) =>
  schema &&
  JSON.stringify([schema.target, schema.classes, schema.features.map(({ name }) => name)]);

export function VersionReport({ name, version }) {
  const { data, problem, loading, reload } = useLoad({
    path: ["models", name, "versions", version],
  });
  const inUse = useInUse();
  if (loading) return html`<${Loading} />`;
  if (!data) return html`<${Problem} problem=${problem} retry=${reload} />`;
  const other = inUse && !(inUse.name === name && String(inUse.version) === version) ? inUse : null;
  const comparable = other && contractOf(other) === contractOf(data);
  const comparison =
    other && address(["compare"], { a: `${name}/${version}`, b: `${other.name}/${other.version}` });
  const columns = [{ title: `${name} ${version}`, metrics: data.metrics }];
  if (comparable) columns.push({ title: t("report.inUse", other), metrics: other.metrics });
  return html`
    <${Card}
      title=${t("metrics")}
      aside=${html`<${UseButton} version=${data} />
        ${other && html`<a class="button" href=${comparison}>${t("report.compare")}</a>`}`}
    >
      ${
        Object.keys(data.metrics).length > 0
          ? html`<${Metrics} columns=${columns} />`
          : html`<p class="quiet">${t("report.noMetrics")}</p>`
      }
      ${comparable && html`<p class="quiet">${t("report.otherRows")}</p>`}
    <//>
    <${Card} title=${t("evaluation.title")}><${Figures} evaluation=${data.evaluation} /><//>
  `;
}
