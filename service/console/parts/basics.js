// The small parts that every page is made of.

import { t } from "../lib/text.js";
import { html, names, useEffect, useId, useRef, useState } from "../lib/ui.js";
import { formatAge, formatTime } from "../lib/format.js";

/** A part of a page with a heading, and what belongs beside it. */
export const Card = ({ title, aside, children, kind = "" }) => html`
  <section class=${`card ${kind}`}>
    ${
      title &&
      html`<header>
        <h2>${title}</h2>
        ${aside && html`<div class="aside">${aside}</div>`}
      </header>`
    }
    ${children}
  </section>
`;

/** A labelled control; `children` gets the attributes that tie it to its label, hint and error. */
export function Field({ label, hint, error, children, inline = false }) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  const tied = {
    id,
    ...(described && { "aria-describedby": described }),
    ...(error && { "aria-invalid": "true" }),
  };
  return html`
    <div class=${names({ field: true, inline, wrong: !!error })}>
      <label for=${id}>${label}</label>
      ${children(tied)} ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
      ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
    </div>
  `;
}

/** A choice among few as a list; among many by typing, with the matches below. */
export function Pick({ options, value, onChange, tied = {}, empty = null }) {
  const list = useId();
  const [typed, setTyped] = useState(null);
  if (options.length <= 40) {
    return html`
      <select ...${tied} value=${value} onChange=${(event) => onChange(event.target.value)}>
        ${empty !== null && html`<option value="">${empty}</option>`}
        ${options.map((option) => html`<option value=${option} selected=${option === value}>${option}</option>`)}
      </select>
    `;
  }
  const wanted = (typed ?? value).toLowerCase();
  const matches = [];
  for (const option of options) {
    if (option.toLowerCase().includes(wanted)) matches.push(option);
    if (matches.length === 50) break;
  }
  const chosen = (text) => {
    setTyped(text);
    if (text === "" || options.includes(text)) onChange(text);
  };
  return html`
    <input
      ...${tied}
      list=${list}
      value=${typed ?? value}
      autocomplete="off"
      onInput=${(event) => chosen(event.target.value)}
      onBlur=${() => setTyped(null)}
    />
    <datalist id=${list}>
      ${matches.map((option) => html`<option value=${option}></option>`)}
    </datalist>
  `;
}

/** A bar that shows a share from 0 to 1; null while it is not known. */
export const Progress = ({ share, label }) => html`
  <div class="progress">
    <progress max="1" value=${share ?? undefined} aria-label=${label}></progress>
    <span>${label}${share != null && html` · ${Math.round(share * 100)} %`}</span>
  </div>
`;

/** The progress of an upload, and of the work `then`; `sent` is null where nothing large is sent. */
export const Sending = ({ sent, then }) =>
  sent !== null && sent < 1
    ? html`<${Progress} share=${sent} label=${t("sending")} />`
    : html`<${Progress} share=${null} label=${then} />`;

export const Loading = () =>
  html`<p class="quiet" role="status" aria-busy="true">${t("loading")}</p>`;

/** A time as its age, with the whole of it on demand. */
export const Age = ({ time }) =>
  html`<time datetime=${time} title=${formatTime(time)}>${formatAge(time)}</time>`;

/** A short word about a state: `good`, `bad`, `busy` or nothing. */
export const Badge = ({ kind = "", children }) =>
  html`<span class=${`badge ${kind}`}>${children}</span>`;

/** What was decided about rows, each with its column. */
export const Notes = ({ notes }) =>
  notes?.length > 0 &&
  html`
    <ul class="notes" aria-label=${t("notes")}>
      ${notes.map((note) => html`<li>${note.column !== null && html`<b>${note.column}</b>: `}${note.message}</li>`)}
    </ul>
  `;

/** The heading of a column of numbers. */
export const numeric = (title) => ({ numeric: title });

/** A table that scrolls by itself where it is wider than the screen. */
export const Table = ({ label, head, children, kind = "" }) => html`
  <div class=${`scroll ${kind}`} role="region" aria-label=${label} tabindex="0">
    <table>
      <thead>
        <tr>
          ${head.map((title) => html`<th scope="col" class=${title.numeric && "number"}>${title.numeric ?? title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${children}
      </tbody>
    </table>
  </div>
`;

/** Facts as pairs of a name and a value; those without a value are left out. */
export const Facts = ({ facts }) => html`
  <dl class="facts">
    ${facts
      .filter(([, value]) => value != null && value !== "" && value !== false)
      .map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
  </dl>
`;

/** A list of choices of which one is shown; arrow keys move between them. */
export function Tabs({ label, tabs, current, onChange }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = tabs.findIndex(([id]) => id === current);
    onChange(tabs[(at + step + tabs.length) % tabs.length][0]);
    event.currentTarget.children[(at + step + tabs.length) % tabs.length].focus();
    event.preventDefault();
  };
  return html`
    <div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
      ${tabs.map(
        ([id, title]) => html`
          <button
            type="button"
            role="tab"
            aria-selected=${String(id === current)}
            tabindex=${id === current ? 0 : -1}
            onClick=${() => onChange(id)}
          >
            ${title}
          </button>
        `,
      )}
    </div>
  `;
}

/** A window above the page; Escape and its cancel button close it. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  const heading = useId();
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  return html`
    <dialog ref=${dialog} aria-labelledby=${heading} onClose=${onClose}>
      <h2 id=${heading}>${title}</h2>
      ${children}
    </dialog>
  `;
}
