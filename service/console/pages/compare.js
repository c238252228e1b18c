// Two versions side by side.

import { spell } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { address } from "../lib/router.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Card, Loading, Table } from "../parts/basics.js";
import { Curl } from "../parts/curl.js";
import { Figures } from "../parts/figures.js";
import { Problem } from "../parts/problem.js";
import { UseButton } from "../parts/use.js";
import { VersionState } from "./models.js";
import { Metrics } from "./version_report.js";

/** Return the call for `name/version`; a model's name holds no slash. */
function callOf(text) {
  const [, name, version] = (text ?? "").match(/^(.+)\/([1-9]\d*)$/) ?? [];
  return name ? { path: ["models", name, "versions", version] } : null;
}

export function Compare({ query }) {
  const a = useLoad(callOf(query.a));
  const b = useLoad(callOf(query.b));
  if (a.loading || b.loading) return html`<${Loading} />`;
  if (!a.data || !b.data) {
    return html`
      <${Problem} problem=${a.problem} retry=${a.reload} />
      <${Problem} problem=${b.problem} retry=${b.reload} />
      <p>${t("compare.how")} <a href="#/models">${t("nav.models")}</a></p>
    `;
  }
  const both = [a.data, b.data];
  const title = ({ name, version }) => `${name} ${version}`;
  return html`
    <p class="lead">
      <a href=${address(["compare"], { a: query.b, b: query.a })}>${t("compare.swap")}</a>
    </p>
    <${Card} title=${t("metrics")}>
      <${Metrics}
        columns=${both.map((version) => ({ title: title(version), metrics: version.metrics }))}
      />
      <p class="quiet">${t("report.otherRows")}</p>
    <//>
    <${Card} title=${t("compare.differences")}>
      <${Differences} a=${a.data} b=${b.data} titles=${both.map(title)} />
    <//>
    <div class="pair">
      ${both.map(
        (version) =>
          html`<${Card}
            title=${html`<a href=${address(["models", version.name, String(version.version)])}>${title(version)}</a>`}
            aside=${html`<${VersionState} version=${version} /><${UseButton} version=${version} />`}
          >
            <${Figures} evaluation=${version.evaluation} />
          <//>`,
      )}
    </div>
    <${Curl} title=${t("curl.version", a.data)} call=${callOf(query.a)} />
    <${Curl} title=${t("curl.version", b.data)} call=${callOf(query.b)} />
  `;
}

/** Return what a version is made of, as names and texts. */
const factsOf = (version) => ({
  [t("train.modelType")]: version.model_type ?? "",
  [t("version.dataSet")]: version.data_set ?? "",
  [t("version.target")]: version.schema?.target ?? "",
  [t("version.classes")]: version.schema?.classes.map(spell).join(", ") ?? "",
  ...Object.fromEntries(
    Object.entries(version.params).map(([name, value]) => [name, JSON.stringify(value)]),
  ),
});

function Differences({ a, b, titles }) {
  const [left, right] = [factsOf(a), factsOf(b)];
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])].filter(
    (name) => left[name] !== right[name],
  );
  const only = (one, other) => {
    const known = new Set((other.schema?.features ?? []).map(({ name }) => name));
    return (one.schema?.features ?? []).map(({ name }) => name).filter((name) => !known.has(name));
  };
  const rows = names.map((name) => [name, left[name] ?? "", right[name] ?? ""]);
  const [onlyA, onlyB] = [only(a, b), only(b, a)];
  if (onlyA.length + onlyB.length > 0)
    rows.push([t("compare.onlyFeatures"), listed(onlyA), listed(onlyB)]);
  if (rows.length === 0) return html`<p class="quiet">${t("compare.same")}</p>`;
  return html`
    <${Table} label=${t("compare.differences")} head=${["", ...titles]}>
      ${rows.map(
        ([name, one, other]) =>
          html`<tr>
            <th scope="row">${name}</th>
            <td><bdi>${one}</bdi></td>
            <td><bdi>${other}</bdi></td>
          </tr>`,
      )}
    <//>
  `;
}

const listed = (names) => names.slice(0, 20).join(", ") + (names.length > 20 ? ", …" : "");
