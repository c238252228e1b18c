// Data: rows kept under a name, to train on again.

import { refresh, upload } from "../lib/api.js";
import { useAction, useLoad } from "../lib/load.js";
import { address } from "../lib/router.js";
import { formatCount, t } from "../lib/text.js";
import { html, useState } from "../lib/ui.js";
import { RoleButton } from "../parts/access.js";
import {
  Age,
  Badge,
  Card,
  Facts,
  Loading,
  Notes,
  Sending,
  Table,
  numeric,
} from "../parts/basics.js";
import { SearchField, TextField } from "../parts/fields.js";
import { Curl } from "../parts/curl.js";
import { DeleteButton } from "../parts/delete_button.js";
import { FileDrop } from "../parts/file_drop.js";
import { errorAt, Problem } from "../parts/problem.js";

export function DataSets() {
  const call = { path: ["datasets"] };
  const { data, problem, loading, reload } = useLoad(call);
  const [wanted, setWanted] = useState("");
  const found =
    data?.datasets.filter(({ name }) => name.toLowerCase().includes(wanted.trim().toLowerCase())) ??
    [];
  return html`
    <p class="lead">${t("data.lead")}</p>
    <${Keep} />
    <${Card} title=${t("data.all")}>
      ${loading && html`<${Loading} />`}
      <${Problem} problem=${problem} retry=${reload} />
      ${
        data?.datasets.length > 20 &&
        html`<${SearchField} label=${t("data.find")} value=${wanted} onInput=${setWanted} />`
      }
      ${
        data &&
        html`<${Table}
          label=${t("data.all")}
          head=${[t("name"), numeric(t("rows")), numeric(t("columns")), t("version.target"), t("created")]}
        >
          ${found.map(
            ({ name, rows, columns, target, created_at: created, built_in: builtIn }) =>
              html`<tr key=${name}>
                <th scope="row"><a href=${address(["data", name])}>${name}</a></th>
                <td class="number">${formatCount(rows)}</td>
                <td class="number">${formatCount(columns.length)}</td>
                <td><bdi>${target}</bdi></td>
                <td>
                  ${builtIn ? html`<${Badge}>${t("data.builtIn")}<//>` : html`<${Age} time=${created} />`}
                </td>
              </tr>`,
          )}
        <//>`
      }
    <//>
    <${Curl} call=${call} />
  `;
}

/** Return what the API takes for a name from that of a file. */
const nameOf = ({ name }) =>
  name
    .replace(/\.[^.]*$/, "")
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[-.]+|[-.]+$/g, "")
    .slice(0, 128);

function Keep() {
  const [file, setFile] = useState(null);
  const [chosen, setChosen] = useState({
    name: "",
    target: "",
    exclude: "",
    missing: "",
    encoding: "",
  });
  const [sent, setSent] = useState(0);
  const fields = Object.entries(chosen).filter(([, value]) => value.trim() !== "");
  const call = { method: "POST", path: ["datasets"], file, fields };
  const { busy, problem, result, run, clear } = useAction(async () => {
    setSent(0);
    const { data } = await upload(call, setSent);
    refresh();
    return data;
  });
  const take = (next) => {
    clear();
    setFile(next);
    setChosen({ ...chosen, name: nameOf(next) });
  };
  const text = (name, label, hint) => html`
    <${TextField}
      label=${label}
      hint=${hint}
      error=${errorAt(problem, name)}
      value=${chosen[name]}
      onInput=${(value) => setChosen({ ...chosen, [name]: value })}
    />
  `;
  return html`
    <${Card} title=${t("data.keep")}>
      <${FileDrop} label=${t("train.drop")} file=${file} onFile=${take} />
      ${
        file &&
        html`<div class="features">
            ${text("name", t("name"))} ${text("target", t("version.target"), t("data.targetHint"))}
            ${text("exclude", t("data.exclude"), t("data.excludeHint"))}
            ${text("missing", t("train.missing"), t("train.missingHint"))}
            ${text("encoding", t("train.encoding"), "utf-8, windows-1252")}
          </div>
          <div class="actions">
            <${RoleButton} role="train" class="primary" disabled=${busy} onClick=${run}
              >${t("data.store")}<//
            >
          </div>
          <div role="status">
            ${busy && html`<${Sending} sent=${sent} then=${t("data.storing")} />`}
          </div>
          <${Problem} problem=${problem} />
          <${Curl} call=${call} />`
      }
      ${
        result &&
        html`<div class="notice" role="status">
          <p>
            ${t("data.stored", { name: result.name, rows: formatCount(result.rows) })}${" "}
            <a href=${address(["train"], { dataset: result.name })}>${t("data.train")}</a>
          </p>
          <${Notes} notes=${result.notes} />
        </div>`
      }
    <//>
  `;
}

export function DataSet({ name }) {
  const call = { path: ["datasets", name] };
  const { data, problem, loading, reload } = useLoad(call);
  if (loading) return html`<${Loading} />`;
  return html`
    <p class="lead"><a href="#/data">${t("data.back")}</a></p>
    <${Problem} problem=${problem} retry=${reload} />
    ${
      data &&
      html`<${Card}
          title=${t("version.about")}
          aside=${html`<a class="button primary" href=${address(["train"], { dataset: name })}
              >${t("data.train")}</a
            >
            ${
              !data.built_in &&
              html`<${DeleteButton}
                path=${call.path}
                next="#/data"
                question=${t("data.deleteTitle", { name })}
                why=${t("data.deleteWhy")}
              />`
            }`}
        >
          <${Facts}
            facts=${[
              [t("rows"), formatCount(data.rows)],
              [t("version.target"), data.target],
              [t("created"), data.created_at && html`<${Age} time=${data.created_at} />`],
              ["SHA-256", html`<code>${data.sha256}</code>`],
            ]}
          />
          <${Notes} notes=${data.notes} />
          <${Columns} columns=${data.columns} />
        <//>
        <${Curl}
          title=${t("curl.train")}
          open
          call=${{ method: "POST", path: ["train"], json: { dataset: name, model_type: "RandomForestClassifier" } }}
        />`
    }
    <${Curl} call=${call} />
  `;
}

const SHOWN = 200;

const Columns = ({ columns }) => html`
  <${Table} label=${t("columns")} head=${[t("column"), t("type"), numeric(t("missing"))]}>
    ${columns.slice(0, SHOWN).map(
      ({ name, type, missing }) =>
        html`<tr>
          <th scope="row"><bdi>${name}</bdi></th>
          <td>${type}</td>
          <td class="number">${missing > 0 ? formatCount(missing) : ""}</td>
        </tr>`,
    )}
  <//>
  ${columns.length > SHOWN && html`<p class="quiet">${t("predict.shown", { n: SHOWN, all: formatCount(columns.length) })}</p>`}
`;
