// Watch: what each replica serves, how much, and how fast.

import { formatBytes } from "../lib/format.js";
import { useLoad } from "../lib/load.js";
import { address, navigate } from "../lib/router.js";
import { rates } from "../lib/rates.js";
import { formatCount, t } from "../lib/text.js";
import { html, useMemo } from "../lib/ui.js";
import { Age, Badge, Card, Facts, Loading, Table, numeric } from "../parts/basics.js";
import { Curl } from "../parts/curl.js";
import { Problem } from "../parts/problem.js";
import { Skew } from "../parts/skew.js";
import { Series } from "../parts/series.js";
import { Traffic } from "../parts/traffic.js";

const EVERY_MILLISECONDS = 2000;

/** Kept while the console is open, so that who comes back finds the last minutes. */
const history = rates();

export function Watch({ query }) {
  const call = { path: ["figures"] };
  const { data, problem, loading, reload } = useLoad(call, { every: EVERY_MILLISECONDS });
  const use = useLoad({ path: ["use-model"] }, { every: 5 * EVERY_MILLISECONDS });
  const series = useMemo(() => {
    if (data) history.take(data, Date.now() / 1000);
    return history.series();
  }, [data]);
  const choose = (window) => navigate(address(["watch"], { ...query, window }), { replace: true });
  if (loading) return html`<${Loading} />`;
  return html`
    <p class="lead">${t("watch.lead")}</p>
    <${Problem} problem=${problem} retry=${reload} />
    <${InUse} use=${use} />
    ${
      data &&
      html`<${Card} title=${t("watch.replicas")}>
        <${Replicas} replicas=${data.replicas} epoch=${use.data?.epoch} />
        ${
          data.missing.length > 0 &&
          html`<p class="problem" role="status">
            ${t("watch.silent", { names: data.missing.join(", ") })}
          </p>`
        }
      <//>`
    }
    <${Traffic} />
    <${Skew} range=${query.window ?? "1h"} onRange=${choose} />
    ${series
      .filter(({ id }) => data?.replicas.some((replica) => replica.id === id))
      .map(
        ({ id, points }) =>
          html`<${Card}
            key=${id}
            title=${data.replicas.length > 1 ? t("watch.replica", { id }) : t("watch.live")}
          >
            ${points.length === 0 ? html`<${Loading} />` : html`<${Charts} points=${points} />`}
          <//>`,
      )}
    <${Curl} call=${call} />
  `;
}

function InUse({ use: { data, problem, reload } }) {
  if (!data) return html`<${Problem} problem=${problem} retry=${reload} />`;
  const { name, version, epoch, follows, follow_error: followError, decision } = data;
  return html`
    <${Card} title=${t("inUse")}>
      <${Facts}
        facts=${[
          [
            t("model"),
            html`<a href=${`#/models/${encodeURIComponent(name)}/${version}`}
              ><bdi>${name}</bdi> ${version}</a
            >`,
          ],
          [t("epoch"), formatCount(epoch)],
          [t("watch.follows"), follows && `${follows.name}@${follows.alias}`],
          [t("watch.decision"), decision],
        ]}
      />
      ${followError && html`<p class="problem" role="alert">${followError}</p>`}
      <${Problem} problem=${problem} />
    <//>
  `;
}

const NUMBERS = [
  ...["epoch", "watch.answered", "rows", "watch.inFlight", "watch.trainings", "watch.memory"],
];

const Replicas = ({ replicas, epoch }) => html`
  <${Table}
    label=${t("watch.replicas")}
    head=${[t("watch.id"), t("model"), ...NUMBERS.map((key) => numeric(t(key))), t("started")]}
  >
    ${replicas.map(
      (replica) =>
        html`<tr key=${replica.id}>
          <th scope="row">
            <code>${replica.id}</code>
            ${!replica.ready && html`<${Badge} kind="bad">${t("watch.notReady")}<//>`}
          </th>
          <td>${replica.model !== null && html`<bdi>${replica.model}</bdi> ${replica.version}`}</td>
          <td class="number">
            ${replica.epoch}
            ${
              replica.epoch !== null &&
              replica.epoch < epoch &&
              html`<${Badge} kind="bad">${t("watch.behind")}<//>`
            }
          </td>
          <td class="number">${formatCount(replica.requests.ok)}</td>
          <td class="number">${formatCount(replica.rows)}</td>
          <td class="number">${formatCount(replica.in_flight)}</td>
          <td class="number">
            ${formatCount(replica.trainings.running)} + ${formatCount(replica.trainings.queued)}
          </td>
          <td class="number">${formatBytes(replica.memory_bytes)}</td>
          <td><${Age} time=${replica.started_at} /></td>
        </tr>`,
    )}
  <//>
`;

function Charts({ points }) {
  const at = useMemo(() => points.map((point) => point.at), [points]);
  const values = (name) => points.map((point) => point[name]);
  return html`
    <div class="pair">
      <${Series}
        title=${t("watch.requests")}
        unit="/s"
        least=${1}
        at=${at}
        lines=${[
          { title: t("watch.ok"), values: values("rate"), colour: "--series-0" },
          { title: t("watch.refused"), values: values("refused"), colour: "--series-1" },
        ]}
      />
      <${Series}
        title=${t("watch.latency")}
        unit="ms"
        least=${0.1}
        at=${at}
        lines=${["p50", "p95", "p99"].map((name, i) => ({ title: name, values: values(name), colour: `--series-${i + 2}` }))}
      />
    </div>
  `;
}
