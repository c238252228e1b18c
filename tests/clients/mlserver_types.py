"""MLServer's codecs write the requests, its types read the replies, its endpoints are asked for."""

import json
from typing import Any

import numpy as np
import pandas as pd
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RepositoryIndexResponse,
    RequestOutput,
)

from tests.clients.checks import Answer, Checks, ServedModel, Site, call, close, equal

checks = Checks()


def _dump(request: Any) -> Any:
    return json.loads(request.model_dump_json(exclude_none=True))


def _infer(site: Site, model: ServedModel, request: Any, version: str = "") -> Answer:
    request.outputs = [RequestOutput(name="predict"), RequestOutput(name="predict_proba")]
    path = f"/versions/{version}" if version else ""
    return call(f"{site.url}/v2/models/{model.name}{path}/infer", _dump(request))


def _agrees(answer: Answer, model: ServedModel) -> Any:
    assert answer.status == 200, answer.content
    response = InferenceResponse.model_validate_json(answer.content)
    outputs = {output.name: output for output in response.outputs}
    equal(response.model_name, model.name)
    equal(response.model_version, model.version)
    if outputs["predict"].datatype == "BYTES":
        equal(StringCodec.decode_output(outputs["predict"]), model.labels)
    else:
        equal(NumpyCodec.decode_output(outputs["predict"]).ravel().tolist(), model.labels)
    shares = NumpyCodec.decode_output(outputs["predict_proba"])
    close(shares.tolist(), model.probabilities)
    return response


def _matrix(model: ServedModel) -> Any:
    return NumpyRequestCodec.encode_request(np.array(model.rows, np.float64))


def _frame(model: ServedModel) -> Any:
    frame = pd.DataFrame(model.rows, columns=model.features)
    # MLServer 1.7.1 does not know the type that pandas 3 gives to columns of text.
    texts = [name for name, kind in zip(model.features, model.types, strict=True) if kind == "text"]
    frame = frame.astype(dict.fromkeys(texts, object))
    return PandasCodec.encode_request(frame, use_bytes=False)


@checks.add
def the_server_is_live_and_ready(site: Site) -> None:
    for path in ("live", "ready"):
        equal(call(f"{site.url}/v2/health/{path}").status, 200)


@checks.add
def a_model_and_its_version_are_ready(site: Site) -> None:
    for model in (site.iris, site.mixed):
        path = f"{site.url}/v2/models/{model.name}"
        equal(call(f"{path}/ready").status, 200)
        equal(call(f"{path}/versions/{model.version}/ready").status, 200)


@checks.add
def the_metadata_of_the_server_has_its_type(site: Site) -> None:
    metadata = MetadataServerResponse.model_validate_json(call(f"{site.url}/v2").content)
    assert metadata.name
    assert metadata.version


@checks.add
def the_metadata_of_a_model_has_its_type(site: Site) -> None:
    for model in (site.iris, site.mixed):
        answer = call(f"{site.url}/v2/models/{model.name}/versions/{model.version}")
        metadata = MetadataModelResponse.model_validate_json(answer.content)
        equal(metadata.name, model.name)
        assert metadata.inputs
        assert metadata.outputs


@checks.add
def an_array_is_answered(site: Site) -> None:
    _agrees(_infer(site, site.iris, _matrix(site.iris)), site.iris)


@checks.add
def an_array_is_answered_by_a_version(site: Site) -> None:
    _agrees(_infer(site, site.iris, _matrix(site.iris), site.iris.version), site.iris)


@checks.add
def a_frame_is_answered(site: Site) -> None:
    _agrees(_infer(site, site.iris, _frame(site.iris)), site.iris)
    _agrees(_infer(site, site.mixed, _frame(site.mixed)), site.mixed)


@checks.add
def a_reply_keeps_the_id(site: Site) -> None:
    request = _matrix(site.iris)
    request.id = "my-id"
    equal(_agrees(_infer(site, site.iris, request), site.iris).id, "my-id")


@checks.add
def a_reply_of_default_outputs_has_its_type(site: Site) -> None:
    answer = call(f"{site.url}/v2/models/{site.iris.name}/infer", _dump(_matrix(site.iris)))
    response = InferenceResponse.model_validate_json(answer.content)
    assert response.outputs


@checks.add
def a_request_without_inputs_is_an_error(site: Site) -> None:
    bodies: tuple[Any, ...] = ({}, {"inputs": []}, {"inputs": [{"name": "x"}]})
    for body in bodies:
        answer = call(f"{site.url}/v2/models/{site.iris.name}/infer", body)
        equal(answer.status, 400)
        assert answer.json()["error"]


@checks.add
def an_unknown_model_or_version_is_an_error(site: Site) -> None:
    request = _dump(_matrix(site.iris))
    for path in ("no-such-model", f"{site.iris.name}/versions/999"):
        for answer in (
            call(f"{site.url}/v2/models/{path}"),
            call(f"{site.url}/v2/models/{path}/ready"),
            call(f"{site.url}/v2/models/{path}/infer", request),
        ):
            equal(answer.status, 404)
            assert answer.json()["error"]


@checks.add
def the_repository_lists_ready_models(site: Site) -> None:
    bodies: tuple[dict[str, Any], ...] = ({}, {"ready": False}, {"ready": True})
    for body in bodies:
        answer = call(f"{site.url}/v2/repository/index", body)
        equal(answer.status, 200)
        items = RepositoryIndexResponse.model_validate_json(answer.content).root
        states = {(item.name, item.version): item.state for item in items}
        equal(states[site.iris.name, site.iris.version], "READY")
        if body.get("ready"):
            equal(set(states.values()), {"READY"})


@checks.add
def a_model_is_loaded_and_unloaded(site: Site) -> None:
    base = f"{site.url}/v2/repository/models"
    equal(call(f"{base}/{site.iris.name}/load", b"").status, 200)
    _agrees(_infer(site, site.mixed, _frame(site.mixed)), site.mixed)
    equal(call(f"{base}/{site.mixed.name}/unload", b"").status, 200)
    _agrees(_infer(site, site.mixed, _frame(site.mixed)), site.mixed)


@checks.add
def an_unknown_model_is_neither_loaded_nor_unloaded(site: Site) -> None:
    for action in ("load", "unload"):
        answer = call(f"{site.url}/v2/repository/models/no-such-model/{action}", b"")
        equal(answer.status, 404)
        assert answer.json()["error"]


@checks.add
def a_large_reply_is_compressed_where_it_is_asked_for(site: Site) -> None:
    rows = np.resize(np.array(site.iris.rows, np.float64), (4_000, len(site.iris.features)))
    request = NumpyRequestCodec.encode_request(rows)
    request.outputs = [RequestOutput(name="predict_proba")]
    url = f"{site.url}/v2/models/{site.iris.name}/infer"
    plain = call(url, _dump(request))
    packed = call(url, _dump(request), accept_encoding="gzip")
    assert "content-encoding" not in plain.headers
    equal(packed.headers["content-encoding"], "gzip")
    assert len(packed.content) < len(plain.content)


@checks.add
def a_request_that_mlserver_reads_is_read(site: Site) -> None:
    body = {
        "inputs": [
            {
                "name": "foo",
                "shape": [len(site.iris.rows), len(site.iris.features)],
                "datatype": "FP64",
                "data": site.iris.rows,
                "parameters": {"content_type": "np"},
            }
        ]
    }
    _agrees(_infer(site, site.iris, InferenceRequest.model_validate(body)), site.iris)


checks.leave_out("generate and infer_stream", "the service does not stream")
checks.leave_out("OpenAPI and pages below /v2/docs", "the service has its own at /docs")
checks.leave_out("headers in the parameters of a reply", "MLServer's own, not the protocol's")
checks.leave_out("the codecs for dates, base64 and JSON", "no feature is of these types")

if __name__ == "__main__":
    checks.main()
