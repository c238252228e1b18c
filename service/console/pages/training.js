// One training: followed while it goes on, and what came of it.

import { refresh, send } from "../lib/api.js";
import { formatNumber, formatSeconds } from "../lib/format.js";
import { useAction, useLoad } from "../lib/load.js";
import { address } from "../lib/router.js";
import { formatCount, t } from "../lib/text.js";
import { html, useEffect, useRef } from "../lib/ui.js";
import { RoleButton } from "../parts/access.js";
import { Age, Card, Facts, Loading, Notes, Progress } from "../parts/basics.js";
import { Curl } from "../parts/curl.js";
import { Problem } from "../parts/problem.js";
import { Search } from "../parts/search.js";
import { isOpen, State } from "./trainings.js";
import { Metrics, VersionReport } from "./version_report.js";

const FOLLOW_MILLISECONDS = 1000;

export function Training({ id }) {
  const call = { path: ["trainings", id] };
  const { data, problem, loading, reload } = useLoad(call, {
    every: (found) => (!found || isOpen(found) ? FOLLOW_MILLISECONDS : null),
  });
  const open = data && isOpen(data);
  const was = useRef(false);
  useEffect(() => {
    // What is in use may have changed with its end.
    if (was.current && open === false) refresh();
    was.current = open;
  }, [open]);
  if (loading) return html`<${Loading} />`;
  return html`
    <p class="lead"><a href="#/train">${t("training.all")}</a></p>
    <${Problem} problem=${problem} retry=${reload} />
    ${
      data &&
      html`<${Card}
          title=${html`<bdi>${data.name}</bdi> ${data.version ?? ""}`}
          aside=${html`<${State} training=${data} />`}
        >
          <div aria-live="polite">
            ${isOpen(data) && html`<${Progress} share=${data.progress} label=${data.stage ?? t(`state.${data.state}`)} />`}
            ${data.error && html`<p class="problem" role="alert">${data.error}</p>`}
            ${data.state === "succeeded" && html`<p>${data.used ? t("training.used") : t("training.notUsed")}</p>`}
            ${data.missing?.length > 0 && html`<p class="problem">${t("use.missing", { names: data.missing.join(", ") })}</p>`}
          </div>
          <${Facts}
            facts=${[
              [t("train.modelType"), data.model_type],
              [t("started"), html`<${Age} time=${data.created_at} />`],
              [
                t("training.fit"),
                data.seconds?.fit !== undefined && formatSeconds(data.seconds.fit),
              ],
              [
                t("training.total"),
                data.seconds?.total !== undefined && formatSeconds(data.seconds.total),
              ],
            ]}
          />
          ${data.search && html`<${Search} search=${data.search} open=${isOpen(data)} />`}
          ${data.comparison && html`<${Comparison} comparison=${data.comparison} />`}
          <${Notes} notes=${data.notes} />
          ${isOpen(data) && html`<${Cancel} id=${id} reload=${reload} />`}
          ${
            data.state === "succeeded" &&
            html`<div class="actions">
              <a
                class="button"
                href=${address(["predict"], { name: data.name, version: data.version })}
                >${t("version.try")}</a
              >
              <a class="button" href=${address(["models", data.name, String(data.version)])}
                >${t("training.version")}</a
              >
            </div>`
          }
        <//>
        ${data.state === "succeeded" && html`<${VersionReport} name=${data.name} version=${String(data.version)} />`}`
    }
    <${Curl} call=${call} />
  `;
}

function Comparison({ comparison }) {
  const { rows, new: own, in_use: other, verdict, p_value: p } = comparison;
  const columns = [
    { title: t("comparison.new"), metrics: own },
    { title: t("comparison.inUse"), metrics: other },
  ];
  return html`
    <h3>${t("comparison.title")}</h3>
    <p>${t(`comparison.${verdict}`)}</p>
    ${
      own &&
      other &&
      html`
        <${Metrics} columns=${columns} />
        <p class="quiet">
          ${t("comparison.only", {
            rows: formatCount(rows),
            new: formatCount(comparison.only_new_right),
            inUse: formatCount(comparison.only_in_use_right),
            p: formatNumber(p),
          })}
        </p>
      `
    }
  `;
}

function Cancel({ id, reload }) {
  const { busy, problem, run } = useAction(async () => {
    await send({ method: "DELETE", path: ["trainings", id] });
    reload();
    refresh();
  });
  return html`
    <div class="actions">
      <${RoleButton} role="train" disabled=${busy} onClick=${run}>${t("training.cancel")}<//>
    </div>
    <${Problem} problem=${problem} />
  `;
}
