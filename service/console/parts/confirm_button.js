// Doing something that cannot be taken back, after a question.

import { useAction } from "../lib/load.js";
import { t } from "../lib/text.js";
import { html, useState } from "../lib/ui.js";
import { RoleButton } from "./access.js";
import { Dialog } from "./basics.js";
import { Problem } from "./problem.js";

/** `act` is called once the question was answered; `refusal` is why that is not possible now. */
export function ConfirmButton({ label, question, why, refusal, act }) {
  const [asking, setAsking] = useState(false);
  const { busy, problem, run, clear } = useAction(async () => {
    await act();
    setAsking(false);
  });
  const close = () => {
    setAsking(false);
    clear();
  };
  return html`
    <${RoleButton}
      role="admin"
      disabled=${!!refusal}
      title=${refusal}
      onClick=${() => setAsking(true)}
      >${label}<//
    >
    ${
      asking &&
      html`<${Dialog} title=${question} onClose=${close}>
        <p>${why}</p>
        <${Problem} problem=${problem} />
        <div class="actions">
          <button type="button" class="danger" disabled=${busy} onClick=${run}>${label}</button>
          <button type="button" onClick=${close}>${t("cancel")}</button>
        </div>
      <//>`
    }
  `;
}
