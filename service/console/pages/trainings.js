// The trainings that were, are and will be, the newest first.

import { formatMetric } from "../lib/format.js";
import { usePages } from "../lib/pages.js";
import { address } from "../lib/router.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Age, Badge, Card, Table, numeric } from "../parts/basics.js";
import { MoreButton } from "../parts/more_button.js";
import { Problem } from "../parts/problem.js";

const KINDS = { succeeded: "good", failed: "bad", running: "busy", queued: "busy", cancelled: "" };
export const isOpen = ({ state }) => state === "queued" || state === "running";

export const State = ({ training }) => html`
  <${Badge} kind=${KINDS[training.state]}
    >${t(`state.${training.state}`)}${training.state === "running" && ` ${Math.round(training.progress * 100)} %`}<//
  >
`;

export function Trainings() {
  const pages = usePages(
    { path: ["trainings"], query: { limit: "20" } },
    {
      list: "trainings",
      idOf: ({ id }) => id,
      every: (data) => (data?.trainings.some(isOpen) ? 2000 : 15_000),
      later: { limit: "100" },
    },
  );
  const { problem, shown, reload } = pages;
  if (shown.length === 0 && !problem) return null;
  return html`
    <${Card} title=${t("trainings.title")}>
      <${Problem} problem=${problem} retry=${reload} />
      ${
        shown.length > 0 &&
        html`<${Table}
          label=${t("trainings.title")}
          head=${[t("model"), t("train.modelType"), t("state"), numeric(t("accuracy")), t("started")]}
        >
          ${shown.map(
            (training) =>
              html`<tr>
                <th scope="row">
                  <a href=${address(["train", training.id])}
                    ><bdi>${training.name}</bdi>${training.version && ` ${training.version}`}</a
                  >
                </th>
                <td>${training.model_type || t("search.title")}</td>
                <td><${State} training=${training} /></td>
                <td class="number">${formatMetric(training.metrics?.accuracy)}</td>
                <td><${Age} time=${training.created_at} /></td>
              </tr>`,
          )}
        <//>`
      }
      <${MoreButton} pages=${pages} />
    <//>
  `;
}
