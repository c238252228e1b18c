// Labelled controls of the usual kinds.

import { html } from "../lib/ui.js";
import { Field } from "./basics.js";

/** A field for a text; what else it is given goes to the input. */
export const TextField = ({ label, hint, error, value, onInput, ...rest }) => html`
  <${Field} label=${label} hint=${hint} error=${error}>
    ${(tied) => html`
      <input
        ...${tied}
        ...${rest}
        autocomplete="off"
        value=${value}
        onInput=${(event) => onInput(event.target.value)}
      />
    `}
  <//>
`;

export const SearchField = (props) => html`<${TextField} type="search" ...${props} />`;

export const CheckField = ({ label, hint, error, checked, disabled, onChange }) => html`
  <${Field} inline label=${label} hint=${hint} error=${error}>
    ${(tied) => html`
      <input
        ...${tied}
        type="checkbox"
        checked=${checked}
        disabled=${disabled}
        onChange=${(event) => onChange(event.target.checked)}
      />
    `}
  <//>
`;

/** A choice among few; `options` are pairs of a value and what is shown for it. */
export const SelectField = ({ label, hint, error, options, value, disabled, onChange }) => html`
  <${Field} label=${label} hint=${hint} error=${error}>
    ${(tied) => html`
      <select
        ...${tied}
        value=${value}
        disabled=${disabled}
        onChange=${(event) => onChange(event.target.value)}
      >
        ${options.map(
          ([each, shown]) =>
            html`<option value=${each} selected=${each === value}>${shown}</option>`,
        )}
      </select>
    `}
  <//>
`;
