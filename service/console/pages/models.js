// Models: every version that MLflow holds, the newest first.

import { formatMetric, formatSeconds } from "../lib/format.js";
import { useSettled } from "../lib/load.js";
import { usePages } from "../lib/pages.js";
import { address, navigate } from "../lib/router.js";
import { t } from "../lib/text.js";
import { html, useEffect, useState } from "../lib/ui.js";
import { Age, Badge, Card, Loading, Table, numeric } from "../parts/basics.js";
import { SearchField } from "../parts/fields.js";
import { Curl } from "../parts/curl.js";
import { MoreButton } from "../parts/more_button.js";
import { Problem } from "../parts/problem.js";

const REFRESH_MILLISECONDS = 10_000;
const TYPING_MILLISECONDS = 300;

/** What the service can do with a version, in a word. */
export function VersionState({ version: { in_use: inUse, servable, reason, aliases } }) {
  return html`
    ${inUse && html`<${Badge} kind="good">${t("inUse")}<//> `}
    ${servable === false && html`<${Badge} kind="bad">${t("version.refused")}<//> <span class="quiet">${reason}</span> `}
    ${servable === null && html`<${Badge}>${t("version.unseen")}<//> `}
    ${aliases.map((alias) => html`<${Badge}>@${alias}<//> `)}
  `;
}

export function Models({ query }) {
  const [name, setName] = useState(query.name ?? "");
  const wanted = useSettled(name.trim(), TYPING_MILLISECONDS);
  useEffect(() => {
    if (wanted !== (query.name ?? ""))
      navigate(address(["models"], { ...query, name: wanted }), { replace: true });
  }, [wanted]);
  const call = { path: ["models"], query: wanted ? { name: wanted } : {} };
  return html`
    <p class="lead">${t("models.lead")}</p>
    <${SearchField} label=${t("models.filter")} value=${name} onInput=${setName} />
    <${Versions}
      key=${wanted}
      call=${call}
      picked=${query.pick ? query.pick.split("|") : []}
      onPick=${(picked) => navigate(address(["models"], { ...query, pick: picked.join("|") }), { replace: true })}
    />
    <${Curl} call=${call} />
  `;
}

function Versions({ call, picked, onPick }) {
  const idOf = ({ name, version }) => `${name}/${version}`;
  const pages = usePages(call, { list: "models", idOf, every: REFRESH_MILLISECONDS });
  const { data, problem, loading, shown, reload } = pages;
  if (loading) return html`<${Loading} />`;
  const toggle = (id) =>
    onPick(
      picked.includes(id) ? picked.filter((other) => other !== id) : [...picked, id].slice(-2),
    );
  return html`
    <${Card}>
      <${Problem} problem=${problem} retry=${reload} />
      ${
        data?.stale &&
        html`<p class="problem" role="status">
          ${t("models.stale", { age: formatSeconds(data.age_seconds) })}
        </p>`
      }
      <div class="actions">
        ${
          picked.length === 2
            ? html`<a
                class="button primary"
                href=${address(["compare"], { a: picked[0], b: picked[1] })}
                >${t("models.compare", { a: picked[0].replace("/", " "), b: picked[1].replace("/", " ") })}</a
              >`
            : html`<span class="quiet">${t("models.pickTwo")}</span>`
        }
      </div>
      ${
        shown.length === 0
          ? html`<p>${t("models.none")} <a href="#/train">${t("predict.trainOne")}</a></p>`
          : html`<${Table}
              label=${t("nav.models")}
              head=${[
                ...["compare.column", "model", "state", "train.modelType"].map((key) => t(key)),
                ...["accuracy", "balancedAccuracy"].map((key) => numeric(t(key))),
                t("created"),
              ]}
            >
              ${shown.map(
                (version) =>
                  html`<tr key=${idOf(version)}>
                    <td>
                      <input
                        type="checkbox"
                        aria-label=${t("models.pick", version)}
                        checked=${picked.includes(idOf(version))}
                        onChange=${() => toggle(idOf(version))}
                      />
                    </td>
                    <th scope="row">
                      <a href=${address(["models", version.name, String(version.version)])}
                        ><bdi>${version.name}</bdi> ${version.version}</a
                      >
                    </th>
                    <td><${VersionState} version=${version} /></td>
                    <td>${version.model_type}</td>
                    <td class="number">${formatMetric(version.metrics.accuracy)}</td>
                    <td class="number">${formatMetric(version.metrics.balanced_accuracy)}</td>
                    <td><${Age} time=${version.created_at} /></td>
                  </tr>`,
              )}
            <//>`
      }
      <${MoreButton} pages=${pages} />
    <//>
  `;
}
