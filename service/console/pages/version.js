// One version: what it is, how it did, what it expects, and what may be done with it.

import { refresh, send } from "../lib/api.js";
import { formatNumber, formatShare, spell } from "../lib/format.js";
import { useAction, useLoad } from "../lib/load.js";
import { address } from "../lib/router.js";
import { formatCount, t } from "../lib/text.js";
import { html, useState } from "../lib/ui.js";
import { RoleButton } from "../parts/access.js";
import { Age, Card, Facts, Loading, Table, numeric } from "../parts/basics.js";
import { SearchField } from "../parts/fields.js";
import { Curl } from "../parts/curl.js";
import { DeleteButton } from "../parts/delete_button.js";
import { Outcomes } from "../parts/outcomes.js";
import { Problem } from "../parts/problem.js";
import { changeCall } from "../parts/use.js";
import { VersionState } from "./models.js";
import { VersionReport } from "./version_report.js";

const SHOWN = 25;

export function Version({ name, version }) {
  const call = { path: ["models", name, "versions", version] };
  const { data, problem, loading, reload } = useLoad(call);
  if (loading) return html`<${Loading} />`;
  if (!data) return html`<${Problem} problem=${problem} retry=${reload} />`;
  const params = Object.entries(data.params).map(
    ([key, value]) => `${key}=${JSON.stringify(value)}`,
  );
  return html`
    <p class="lead"><a href=${address(["models"])}>${t("version.all")}</a></p>
    <${Problem} problem=${problem} retry=${reload} />
    <${Card}
      title=${t("version.about")}
      aside=${html`<a class="button" href=${address(["predict"], { name, version })}
          >${t("version.try")}</a
        >
        <${DeleteButton}
          path=${call.path}
          next=${address(["models"])}
          question=${t("version.deleteTitle", { name, version })}
          why=${t("version.deleteWhy")}
          refusal=${data.in_use ? t("version.cannotDelete") : undefined}
        />`}
    >
      <p><${VersionState} version=${data} /></p>
      <${Facts}
        facts=${[
          [t("train.modelType"), data.model_type],
          [t("train.paramsOf"), params.join(", ")],
          [t("created"), html`<${Age} time=${data.created_at} />`],
          [t("version.dataSet"), data.data_set],
          [
            t("training.title"),
            data.training &&
              html`<a href=${address(["train", data.training])}>${data.training}</a>`,
          ],
          [t("version.run"), data.run_id !== data.training && data.run_id],
          [t("version.target"), data.schema?.target],
        ]}
      />
      ${data.aliases.map((alias) => html`<${Follow} name=${name} alias=${alias} />`)}
    <//>
    <${VersionReport} name=${name} version=${version} />
    ${
      data.schema &&
      data.example &&
      html`<${Outcomes}
        model=${name}
        version=${data.version}
        example=${data.example}
        classes=${data.schema.classes}
      />`
    }
    ${data.schema && html`<${Contract} schema=${data.schema} />`}
    ${
      Object.keys(data.sha256).length > 0 &&
      html`<details>
        <summary>${t("version.files")}</summary>
        <${Table} label=${t("version.files")} head=${[t("version.file"), "SHA-256"]}>
          ${Object.entries(data.sha256).map(
            ([file, digest]) =>
              html`<tr>
                <th scope="row">${file}</th>
                <td><code>${digest}</code></td>
              </tr>`,
          )}
        <//>
      </details>`
    }
    ${
      data.example &&
      html`<${Curl}
        title=${t("curl.predict")}
        open
        call=${{ method: "POST", path: [...call.path, "predict"], json: { ...data.example, probabilities: true } }}
      />`
    }
    <${Curl} title=${t("curl.use")} call=${changeCall(name, data.version)} />
    <${Curl} call=${call} />
  `;
}

function Follow({ name, alias }) {
  const { data } = useLoad({ path: ["use-model"] });
  const follows = data?.follows?.name === name && data.follows.alias === alias;
  const { busy, problem, run } = useAction(async () => {
    await send({ method: "POST", path: ["use-model"], json: { name, alias, follow: true } });
    refresh();
  });
  return html`
    <p>
      ${
        follows
          ? t("follow.on", { alias })
          : html`<${RoleButton} role="admin" class="small" disabled=${busy} onClick=${run}>
              ${t("follow.do", { alias })}
            <//>`
      }
    </p>
    <${Problem} problem=${problem} />
    ${follows && data.follow_error && html`<p class="problem" role="alert">${data.follow_error}</p>`}
  `;
}

function Contract({ schema: { features, classes } }) {
  const [wanted, setWanted] = useState("");
  const text = wanted.trim().toLowerCase();
  const found = features.filter(({ name }) => name.toLowerCase().includes(text));
  return html`
    <${Card} title=${t("version.expects")}>
      <p>
        ${t("version.classes")}:${" "}
        ${classes.slice(0, SHOWN).map((label) => html`<code><bdi>${spell(label)}</bdi></code> `)}
        ${classes.length > SHOWN && t("predict.moreClasses", { n: formatCount(classes.length - SHOWN) })}
      </p>
      ${
        features.length > SHOWN &&
        html`<${SearchField}
          label=${t("predict.find")}
          hint=${t("predict.shown", { n: Math.min(found.length, SHOWN), all: formatCount(features.length) })}
          value=${wanted}
          onInput=${setWanted}
        />`
      }
      <${Table}
        label=${t("version.expects")}
        head=${[t("feature"), t("type"), t("missing"), t("feature.values"), numeric(t("feature.importance"))]}
      >
        ${found.slice(0, SHOWN).map(
          (feature) =>
            html`<tr key=${feature.name}>
              <th scope="row"><bdi>${feature.name}</bdi></th>
              <td>${feature.type}</td>
              <td>${feature.nullable ? t("feature.nullable") : ""}</td>
              <td>${valuesOf(feature)}</td>
              <td class="number">
                ${feature.importance !== undefined && formatShare(feature.importance)}
              </td>
            </tr>`,
        )}
      <//>
    <//>
  `;
}

const FEW = 8;

function valuesOf({ categories, minimum, maximum }) {
  if (minimum !== undefined)
    return t("feature.range", { low: formatNumber(minimum), high: formatNumber(maximum) });
  if (!categories) return "";
  return (
    categories.slice(0, FEW).join(", ") +
    (categories.length > FEW ? `, … (${formatCount(categories.length)})` : "")
  );
}
