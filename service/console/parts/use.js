// Changes of what every replica answers from, what they did, and taking them back.

import { refresh, send } from "../lib/api.js";
import { useAction } from "../lib/load.js";
import { store, useStore } from "../lib/store.js";
import { formatSeconds } from "../lib/format.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { RoleButton } from "./access.js";
import { Problem } from "./problem.js";

/** The last change that was made here: the API's reply. It can be taken back. */
const lastChange = store(null);

export const changeCall = (name, version, expected) => ({
  method: "POST",
  path: ["use-model"],
  json: { name, version, ...(expected != null && { expected_epoch: expected }) },
});

/** Make a change, whose reply `LastChange` shows. */
export async function change(call) {
  const { data } = await send(call);
  lastChange.set(data);
  refresh();
}

/** A button that puts one version in use; with `expected` only if that is the epoch still. */
export function UseButton({ version: { name, version, in_use: inUse, servable }, expected }) {
  const { busy, problem, run } = useAction(change);
  if (inUse) return null;
  return html`
    <${RoleButton}
      role="admin"
      class="primary"
      disabled=${busy || servable === false}
      onClick=${() => run(changeCall(name, version, expected))}
      >${busy ? t("use.busy") : t("use.do")}<//
    >
    <${Problem} problem=${problem} />
  `;
}

/** Return what a change did: it is a reply of /use-model or of /traffic. */
function told({ name, version, traffic, ended, ended_traffic: endedBy, replicas, seconds }) {
  const confirmed = { n: replicas.length, time: formatSeconds(seconds) };
  if (traffic)
    return t("traffic.begun", { name: traffic.name, version: traffic.version, ...confirmed });
  if (ended) return t("traffic.ended", { name: ended.name, version: ended.version, ...confirmed });
  const done = t("use.done", { name, version, ...confirmed });
  return endedBy ? `${done} ${t("traffic.endedBy", endedBy)}` : done;
}

/** What the last change did, and a way back. */
export function LastChange() {
  const last = useStore(lastChange);
  const { busy, problem, run } = useAction(change);
  if (!last) return null;
  const { name, version, epoch, previous, missing } = last;
  const back =
    previous && !(previous.name === name && previous.version === version) ? previous : null;
  return html`
    <div class="notice" role="status">
      <p>
        ${told(last)}${" "}
        ${missing.length > 0 && html`<strong>${t("use.missing", { names: missing.join(", ") })}</strong>`}
      </p>
      <div class="actions">
        ${
          back &&
          html`<${RoleButton}
            role="admin"
            disabled=${busy}
            onClick=${() => run(changeCall(back.name, back.version, epoch))}
          >
            ${t("use.back", { name: back.name, version: back.version })}
          <//>`
        }
        <button type="button" onClick=${() => lastChange.set(null)}>${t("close")}</button>
      </div>
      <${Problem} problem=${problem} />
    </div>
  `;
}
