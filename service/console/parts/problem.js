// What went wrong, in the API's own sentences.

import { spell } from "../lib/format.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";

const MOST = 20;

/** Show a problem; `placed` are pointers whose sentences are shown at their places already. */
export function Problem({ problem, retry, placed = () => false }) {
  if (!problem) return null;
  const errors = problem.errors.filter((error) => !placed(error.pointer));
  const more = errors.length - MOST;
  return html`
    <div class="problem" role="alert">
      <p><strong>${problem.title || t("problem.title")}</strong> ${problem.message}</p>
      ${
        errors.length > 1 &&
        html`
          <ul>
            ${errors
              .slice(0, MOST)
              .map(
                (error) =>
                  html`<li>
                    ${error.pointer && html`<code>${spell(error.pointer)}</code> `}${error.message}
                  </li>`,
              )}
            ${more > 0 && html`<li>${t("problem.more", { n: more })}</li>`}
          </ul>
        `
      }
      ${problem.body?.example && html`<${Example} example=${problem.body.example} />`}
      ${problem.retryAfter && html`<p class="quiet">${t("problem.retryAfter", { n: problem.retryAfter })}</p>`}
      ${retry && html`<button type="button" onClick=${retry}>${t("retry")}</button>`}
    </div>
  `;
}

const Example = ({ example }) => html`
  <details>
    <summary>${t("problem.example")}</summary>
    <pre tabindex="0" aria-label=${t("problem.example")}>
${typeof example === "string" ? example : JSON.stringify(example, null, 1)}</pre>
  </details>
`;

/** Return the sentence about the body's member at a pointer (RFC 6901), if there is one. */
export const errorAt = (problem, ...path) => {
  const pointer = path
    .map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`)
    .join("");
  return problem?.errors.find((error) => error.pointer === pointer)?.message;
};
