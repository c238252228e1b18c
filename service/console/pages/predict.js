// Predict: one row by a form that answers as it is filled in, or many from a table or a file.

import { useLoad } from "../lib/load.js";
import { address, navigate } from "../lib/router.js";
import { t } from "../lib/text.js";
import { html } from "../lib/ui.js";
import { Loading, Tabs } from "../parts/basics.js";
import { Problem } from "../parts/problem.js";
import { PredictForm } from "./predict_form.js";
import { PredictRows } from "./predict_rows.js";

/** Return what a version expects: of the one in use, or of the one that the address names. */
function useContract({ name, version }) {
  const { data, problem, loading, reload } = useLoad({
    path: name ? ["models", name, "versions", version] : ["schema"],
  });
  if (!data) return { problem, loading, reload };
  if (!name) return { contract: data, problem, reload };
  // A version that others registered may have none.
  const contract = data.schema && {
    ...data.schema,
    example: data.example,
    model: data.name,
    version: data.version,
  };
  return {
    contract,
    refusal: contract ? null : (data.reason ?? t("predict.noSchema")),
    problem,
    reload,
  };
}

/** Return the path of the route that answers. */
const routeOf = ({ name, version }) =>
  name ? ["models", name, "versions", version, "predict"] : ["predict"];

export function Predict({ query }) {
  const { contract, refusal, problem, loading, reload } = useContract(query);
  const go = (changes) =>
    navigate(address(["predict"], { ...query, ...changes }), { replace: true });
  const tab = query.rows === undefined ? "form" : "rows";
  return html`
    <p class="lead">
      ${
        query.name
          ? html`${t("predict.version", { name: query.name, version: query.version })}${" "}
              <a href="#/predict">${t("predict.useInUse")}</a>`
          : html`${t("predict.lead")} <a href="#/models">${t("predict.another")}</a>`
      }
    </p>
    <${Tabs}
      label=${t("predict.how")}
      current=${tab}
      tabs=${[
        ["form", t("predict.form")],
        ["rows", t("predict.rows")],
      ]}
      onChange=${(next) => go({ rows: next === "rows" ? "1" : null })}
    />
    ${loading && html`<${Loading} />`}
    ${!contract && html`<${Problem} problem=${problem} retry=${reload} />`}
    ${!contract && problem?.status === 503 && html`<p><a href="#/train">${t("predict.trainOne")}</a></p>`}
    ${refusal && html`<p class="problem" role="alert">${refusal}</p>`}
    ${
      contract &&
      tab === "form" &&
      html`<${PredictForm}
        key=${`${contract.model}/${contract.version}`}
        contract=${contract}
        route=${routeOf(query)}
        changed=${query.values}
        onChange=${(values) => go({ values })}
      />`
    }
    ${contract && tab === "rows" && html`<${PredictRows} contract=${contract} route=${routeOf(query)} />`}
  `;
}
