// A second version beside the one in use: what it is, how to begin it, and how it does.

import { useLoad } from "../lib/load.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Card, Loading } from "./basics.js";
import { ConfirmButton } from "./confirm_button.js";
import { Curl } from "./curl.js";
import { Problem } from "./problem.js";
import { TrafficForm } from "./traffic_form.js";
import { TrafficState } from "./traffic_state.js";
import { change, UseButton } from "./use.js";

const EVERY_MILLISECONDS = 2000;

export function Traffic() {
  const call = { path: ["traffic"] };
  const { data, problem, loading, reload } = useLoad(call, { every: EVERY_MILLISECONDS });
  const second = data?.traffic;
  return html`
    <${Card} title=${t("traffic.title")} aside=${second && html`<${Decide} second=${second} />`}>
      ${loading && html`<${Loading} />`}
      <${Problem} problem=${problem} retry=${reload} />
      ${second && html`<${TrafficState} second=${second} />`}
      ${
        second === null &&
        html`
          <p class="quiet">${t("traffic.what")}</p>
          <${TrafficForm} />
        `
      }
      <${Curl} title=${t("curl.traffic")} call=${call} />
    <//>
  `;
}

const Decide = ({ second: { name, version, in_use: inUse } }) => html`
  <${UseButton} version=${{ name, version }} expected=${inUse.epoch} />
  <${ConfirmButton}
    label=${t("traffic.end")}
    question=${t("traffic.endTitle", { name, version })}
    why=${t("traffic.endWhy")}
    act=${() => change({ method: "DELETE", path: ["traffic"] })}
  />
`;
