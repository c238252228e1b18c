// The columns of the rows to train on, as a training would see them, and what may be changed about them.

import { formatShare, spell } from "../lib/format.js";
import { formatCount, t } from "../lib/text.js";
import { html, useRef, useState } from "../lib/ui.js";
import { Field, Pick, Table, numeric } from "../parts/basics.js";
import { SearchField } from "../parts/fields.js";
import { errorAt } from "../parts/problem.js";

const SHOWN = 100;
const TYPES = ["number", "text", "boolean"];

export function TrainColumns({ seen, chosen, choose, problem, isCurrent }) {
  const [wanted, setWanted] = useState("");
  const names = seen.columns.map(({ name }) => name);
  const target = chosen.target || (seen.columns.find(({ role }) => role === "target")?.name ?? "");
  // A column that is left out stays where it was.
  const order = useRef(new Map());
  for (const name of names)
    if (!order.current.has(name)) order.current.set(name, order.current.size);
  const columns = seen.columns.toSorted(
    (a, b) => order.current.get(a.name) - order.current.get(b.name),
  );
  const found = columns.filter(({ name }) =>
    name.toLowerCase().includes(wanted.trim().toLowerCase()),
  );
  const toggle = (name, leaveOut) =>
    choose({
      exclude: leaveOut
        ? [...chosen.exclude, name]
        : chosen.exclude.filter((other) => other !== name),
    });
  const retype = (name, type) => choose({ types: { ...chosen.types, [name]: type } });
  return html`
    <${Field} label=${t("train.target")} error=${errorAt(problem, "target")}>
      ${(tied) => html`
        <${Pick}
          tied=${tied}
          options=${columns.map(({ name }) => name)}
          value=${target}
          onChange=${(name) => choose({ target: name })}
          empty="—"
        />
      `}
    <//>
    ${seen.classes.length > 0 && html`<${Classes} classes=${seen.classes} rows=${seen.rows} />`}
    ${
      names.length > SHOWN &&
      html`<${SearchField}
        label=${t("train.find")}
        hint=${t("predict.shown", { n: formatCount(Math.min(found.length, SHOWN)), all: formatCount(names.length) })}
        value=${wanted}
        onInput=${setWanted}
      />`
    }
    <${Table}
      label=${t("train.columns")}
      head=${[t("column"), t("type"), numeric(t("missing")), numeric(t("distinct")), t("train.role")]}
    >
      ${found
        .slice(0, SHOWN)
        .map(
          (column) => html`
            <${Column}
              key=${column.name}
              ...${{ column, target, retype, toggle, chosen, isCurrent }}
            />
          `,
        )}
    <//>
  `;
}

function Column({
  column: { name, type: found, missing, distinct, role },
  target,
  retype,
  toggle,
  chosen,
  isCurrent,
}) {
  const type = chosen.types[name] ?? found;
  const mine = chosen.exclude.includes(name);
  // The service leaves an index out by itself.
  const theirs = isCurrent && role === "excluded" && !mine;
  return html`
    <tr class=${mine || theirs ? "excluded" : role}>
      <th scope="row"><bdi>${name}</bdi></th>
      <td>
        ${
          name === target
            ? type
            : html`<select
                aria-label=${t("train.typeOf", { name })}
                value=${type}
                onChange=${(event) => retype(name, event.target.value)}
              >
                ${TYPES.map((each) => html`<option value=${each} selected=${each === type}>${each}</option>`)}
              </select>`
        }
      </td>
      <td class="number">${missing > 0 ? formatCount(missing) : ""}</td>
      <td class="number">${formatCount(distinct)}</td>
      <td>
        ${
          name === target
            ? t("role.target")
            : html`<label class="choice">
                <input
                  type="checkbox"
                  checked=${mine || theirs}
                  disabled=${theirs}
                  onChange=${(event) => toggle(name, event.target.checked)}
                />
                ${t("train.exclude")}<span class="hidden"> ${name}</span>
              </label>`
        }
      </td>
    </tr>
  `;
}

const MOST_CLASSES = 10;

const Classes = ({ classes, rows }) => html`
  <ul class="bars" aria-label=${t("train.classes")}>
    ${classes.slice(0, MOST_CLASSES).map(
      ({ label, rows: count }) => html`
        <li>
          <span class="name"><bdi>${spell(label)}</bdi></span>
          <meter min="0" max="1" value=${count / rows} aria-label=${spell(label)}></meter>
          <span class="number">${formatCount(count)} · ${formatShare(count / rows)}</span>
        </li>
      `,
    )}
    ${
      classes.length > MOST_CLASSES &&
      html`<li class="quiet">
        ${t("predict.moreClasses", { n: formatCount(classes.length - MOST_CLASSES) })}
      </li>`
    }
  </ul>
`;
