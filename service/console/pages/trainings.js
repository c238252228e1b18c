// The trainings that were, are and will be, the newest first.

import { send } from "../lib/api.js";
import { formatMetric } from "../lib/format.js";
import { useAction, useLoad } from "../lib/load.js";
import { address } from "../lib/router.js";
import { t } from "../lib/text.js";
import { html, useState } from "../lib/ui.js";
import { Age, Badge, Card, Table, numeric } from "../parts/basics.js";
import { Problem } from "../parts/problem.js";

const KINDS = { succeeded: "good", failed: "bad", running: "busy", queued: "busy", cancelled: "" };
export const isOpen = ({ state }) => state === "queued" || state === "running";

export const State = ({ training }) => html`
  <${Badge} kind=${KINDS[training.state]}
    >${t(`state.${training.state}`)}${training.state === "running" && ` ${Math.round(training.progress * 100)} %`}<//
  >
`;

export function Trainings() {
  const first = useLoad(
    { path: ["trainings"], query: { limit: "20" } },
    { every: (data) => (data?.trainings.some(isOpen) ? 2000 : 15_000) },
  );
  const [older, setOlder] = useState({ trainings: [], token: undefined });
  const token = older.token === undefined ? first.data?.next_page_token : older.token;
  const more = useAction(async () => {
    const { data } = await send({
      path: ["trainings"],
      query: { limit: "100", page_token: token },
    });
    setOlder({ trainings: [...older.trainings, ...data.trainings], token: data.next_page_token });
  });
  const newest = first.data?.trainings ?? [];
  const known = new Set(newest.map(({ id }) => id));
  const shown = [...newest, ...older.trainings.filter(({ id }) => !known.has(id))];
  if (shown.length === 0 && !first.problem) return null;
  return html`
    <${Card} title=${t("trainings.title")}>
      <${Problem} problem=${first.problem} retry=${first.reload} />
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
                <td>${training.model_type}</td>
                <td><${State} training=${training} /></td>
                <td class="number">${formatMetric(training.metrics?.accuracy)}</td>
                <td><${Age} time=${training.created_at} /></td>
              </tr>`,
          )}
        <//>`
      }
      ${token && html`<button type="button" disabled=${more.busy} onClick=${more.run}>${t("more")}</button>`}
      <${Problem} problem=${more.problem} />
    <//>
  `;
}
