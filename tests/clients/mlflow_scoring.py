"""MLflow's clients of its scoring protocol, and what a scoring server answers to plain HTTP."""

import io
from typing import Any

import numpy as np
import pandas as pd
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from tests.clients.checks import Answer, Checks, ServedModel, Site, call, equal, raises

checks = Checks()

_PARQUET = "application/vnd.apache.parquet"


def _frame(model: ServedModel) -> Any:
    return pd.DataFrame(model.rows, columns=model.features)


def _score(site: Site, body: object, **headers: str) -> Answer:
    return call(f"{site.url}/invocations", body, **headers)


def _agrees(answer: Answer, model: ServedModel) -> None:
    assert answer.status == 200, answer.content
    assert answer.headers["content-type"].startswith("application/json")
    equal(answer.json()["predictions"], model.labels)


def _refused(answer: Answer, *words: str) -> None:
    equal(answer.status, 400)
    body = answer.json()
    assert body["error_code"] in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE"), body
    assert body["message"], body
    for word in words:
        assert word in body["message"], body


def _use(site: Site, model: ServedModel) -> None:
    client = get_deploy_client(f"desafio:{site.url}")
    client.update_deployment(model.name, f"models:/{model.name}/{model.version}")


@checks.add
def the_server_answers_its_probes(site: Site) -> None:
    host, port = site.address.split(":")
    client = ScoringServerClient(host, int(port))
    client.ping()
    assert client.get_version()
    for path in ("/ping", "/health"):
        equal(call(site.url + path).status, 200)


@checks.add
def mlflows_own_client_sends_a_frame(site: Site) -> None:
    host, port = site.address.split(":")
    answer = ScoringServerClient(host, int(port)).invoke(_frame(site.iris))
    equal(answer["predictions"], site.iris.labels)


@checks.add
def rows_without_names_are_answered_where_mlflow_refuses_them(site: Site) -> None:
    host, port = site.address.split(":")
    answer = ScoringServerClient(host, int(port)).invoke(np.array(site.iris.rows))
    equal(answer["predictions"], site.iris.labels)
    _agrees(_score(site, {"instances": site.iris.rows}), site.iris)
    _agrees(_score(site, {"inputs": site.iris.rows}), site.iris)


@checks.add
def a_split_frame_is_answered(site: Site) -> None:
    split = {"columns": site.iris.features, "data": site.iris.rows}
    _agrees(_score(site, {"dataframe_split": split}), site.iris)
    indexed = {**split, "index": list(range(len(site.iris.rows)))}
    _agrees(_score(site, {"dataframe_split": indexed}), site.iris)


@checks.add
def records_are_answered(site: Site) -> None:
    _agrees(_score(site, {"dataframe_records": site.iris.records()}), site.iris)


@checks.add
def instances_are_objects(site: Site) -> None:
    _agrees(_score(site, {"instances": site.iris.records()}), site.iris)


@checks.add
def inputs_are_columns_or_records(site: Site) -> None:
    _agrees(_score(site, {"inputs": site.iris.columns()}), site.iris)
    _agrees(_score(site, {"inputs": site.iris.records()}), site.iris)


@checks.add
def columns_come_in_any_order_and_others_are_dropped(site: Site) -> None:
    backwards = [dict(reversed({**row, "more": 7}.items())) for row in site.iris.records()]
    _agrees(_score(site, {"dataframe_records": backwards}), site.iris)


@checks.add
def integers_are_taken_for_floats(site: Site) -> None:
    whole = [[int(value) for value in row] for row in site.iris.rows]
    split = {"columns": site.iris.features, "data": whole}
    equal(_score(site, {"dataframe_split": split}).status, 200)


@checks.add
def csv_is_answered(site: Site) -> None:
    content = _frame(site.iris).to_csv(index=False).encode()
    _agrees(_score(site, content, content_type="text/csv"), site.iris)
    _agrees(_score(site, content, content_type="text/csv; charset=utf-8"), site.iris)


@checks.add
def parquet_is_answered(site: Site) -> None:
    sink = io.BytesIO()
    _frame(site.iris).to_parquet(sink, index=False)
    _agrees(_score(site, sink.getvalue(), content_type=_PARQUET), site.iris)


@checks.add
def other_media_types_and_parameters_are_refused(site: Site) -> None:
    body = {"instances": site.iris.rows}
    for content_type in (
        "text/plain",
        "application/xml",
        "application/json; format=pandas-split",
        "application/json; charset=latin-1",
    ):
        equal(_score(site, body, content_type=content_type).status, 415)


@checks.add
def a_charset_of_json_is_accepted(site: Site) -> None:
    body = {"instances": site.iris.records()}
    _agrees(_score(site, body, content_type="application/json; charset=utf-8"), site.iris)


@checks.add
def unknown_parameters_and_keys_are_ignored(site: Site) -> None:
    body = {"instances": site.iris.records(), "params": {"unknown": 1}, "more": 7}
    _agrees(_score(site, body), site.iris)


@checks.add
def json_that_is_none_is_refused(site: Site) -> None:
    for content in (b"", b"{", b"text", b"[1, 2]", b"null", b'{"instances": [[1]'):
        _refused(_score(site, content))


@checks.add
def a_body_needs_exactly_one_of_the_keys(site: Site) -> None:
    rows = site.iris.rows
    _refused(_score(site, {}))
    _refused(_score(site, {"rows": rows}))
    _refused(_score(site, {"instances": rows, "inputs": rows}))
    split = {"columns": site.iris.features, "data": rows}
    _refused(_score(site, {"dataframe_split": split, "instances": rows}))


@checks.add
def a_split_frame_with_other_keys_is_refused(site: Site) -> None:
    split = {"columns": site.iris.features, "data": site.iris.rows}
    _refused(_score(site, {"dataframe_split": {**split, "dtypes": []}}))
    _refused(_score(site, {"dataframe_split": {"columns": site.iris.features}}))
    _refused(_score(site, {"dataframe_split": site.iris.rows}))


@checks.add
def a_missing_column_is_named(site: Site) -> None:
    missing = site.iris.features[0]
    rows = [{k: v for k, v in row.items() if k != missing} for row in site.iris.records()]
    _refused(_score(site, {"dataframe_records": rows}), missing)


@checks.add
def columns_of_different_lengths_are_refused(site: Site) -> None:
    columns = site.iris.columns()
    columns[site.iris.features[0]] = columns[site.iris.features[0]][:-1]
    _refused(_score(site, {"inputs": columns}))


@checks.add
def text_that_is_no_number_is_refused(site: Site) -> None:
    rows = [["word", *row[1:]] for row in site.iris.rows]
    _refused(_score(site, {"dataframe_split": {"columns": site.iris.features, "data": rows}}))


@checks.add
def a_refusal_shows_a_body_that_works(site: Site) -> None:
    answer = _score(site, {"instances": [{"no": 1}]})
    _refused(answer)
    equal(_score(site, answer.json()["example"]).status, 200)


@checks.add
def the_plugin_predicts_with_numbers(site: Site) -> None:
    client = get_deploy_client(f"desafio:{site.url}")
    answer = client.predict(site.iris.name, _frame(site.iris))
    equal(answer.get_predictions()[0].tolist(), site.iris.labels)
    with raises(MlflowException, "A request that works"):
        client.predict(site.iris.name, pd.DataFrame({"no": [1.0]}))


@checks.add
def the_plugin_changes_the_model_and_predicts_with_mixed_columns(site: Site) -> None:
    client = get_deploy_client(f"desafio:{site.url}")
    _use(site, site.mixed)
    try:
        equal(client.get_deployment(site.mixed.name)["version"], int(site.mixed.version))
        answer = client.predict(site.mixed.name, _frame(site.mixed))
        equal(answer["predictions"], site.mixed.labels)
        with raises(MlflowException, site.mixed.name):
            client.predict(site.iris.name, _frame(site.mixed))
    finally:
        _use(site, site.iris)


checks.leave_out(
    "a dict of arrays by MLflow's own client", "MLflow 3.17.2 fails to write it (dump_input_data)"
)
checks.leave_out("a pickled model that fails while it predicts", "the service loads no pickles")
checks.leave_out("params of a signature", "no version of the service has a params schema")
checks.leave_out("payloads of language models", "the service serves classifiers")
checks.leave_out("tensor signatures of several dimensions", "a row is a flat list of features")
checks.leave_out("MLServer behind `mlflow models serve`", "another server")

if __name__ == "__main__":
    checks.main()
