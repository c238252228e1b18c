"""Compression, which is HTTP's: `--gzip` says that the server reads and writes it."""

import gzip
import json

import httpx
import pytest

from conformance.target import HEADER_LENGTH, Infer, Model, answered, refused
from conformance.test_infer_binary import parts

_GZIP = {"content-type": "application/json", "content-encoding": "gzip"}


def _reads(response: httpx.Response, pytestconfig: pytest.Config) -> bool:
    """Return whether a compressed request was read; a server that does not has to say so."""
    if response.status_code == 200 or pytestconfig.getoption("gzip"):
        return True
    assert 400 <= response.status_code < 500, response.text
    return False


def test_a_compressed_request_is_read_or_refused(
    infer: Infer, model: Model, pytestconfig: pytest.Config
) -> None:
    content = json.dumps(model.request()).encode()
    response = infer.send(gzip.compress(content), _GZIP)

    if _reads(response, pytestconfig):
        assert answered(response, model) == answered(infer.send(content), model)


@pytest.mark.usefixtures("binary")
def test_a_compressed_binary_request_is_read_or_refused(
    infer: Infer, model: Model, pytestconfig: pytest.Config
) -> None:
    described, tail = parts(model.inputs())
    head = json.dumps(model.request(described)).encode()
    headers = {
        "content-type": "application/octet-stream",
        "content-encoding": "gzip",
        HEADER_LENGTH: str(len(head)),
    }
    response = infer.send(gzip.compress(head + tail), headers)

    if _reads(response, pytestconfig):
        assert set(answered(response, model)) <= set(model.output_names)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-4],
        lambda content: content[:10],
        lambda content: content + b"more",
        lambda _: b"\x1f\x8b" + b"\0" * 20,
        lambda _: b"{}",
        lambda _: b"",
    ],
    ids=["cut", "head", "more", "zeros", "plain", "empty"],
)  # fmt: skip
def test_what_is_not_gzip_is_refused(infer: Infer, model: Model, spoil: object) -> None:
    assert callable(spoil)
    content = gzip.compress(json.dumps(model.request()).encode())

    refused(infer.send(spoil(content), _GZIP))


def test_an_unknown_encoding_is_refused(
    infer: Infer, model: Model, pytestconfig: pytest.Config
) -> None:
    if not pytestconfig.getoption("gzip"):
        pytest.skip("the server does not say that it reads encodings: --gzip")
    headers = {"content-type": "application/json", "content-encoding": "no-such-encoding"}

    refused(infer.send(json.dumps(model.request()).encode(), headers))


def test_a_reply_is_compressed_only_for_clients_that_ask(
    client: httpx.Client, infer: Infer, model: Model
) -> None:
    for accepted in ("identity", "gzip"):
        response = client.post(
            f"{infer.path()}/infer", json=model.request(), headers={"accept-encoding": accepted}
        )
        assert answered(response, model)
        assert response.headers.get("content-encoding", "identity") in ("identity", accepted)


def test_a_large_reply_is_compressed_where_the_server_says_so(
    client: httpx.Client, infer: Infer, model: Model, pytestconfig: pytest.Config
) -> None:
    inputs = model.inputs(3)
    if not pytestconfig.getoption("gzip") or inputs[0].shape[0] != 3:
        pytest.skip("the server does not say that it writes gzip: --gzip")
    rows = 8_000
    outputs = [{"name": name} for name in model.output_names]
    request = model.request([tensor.as_json() for tensor in model.inputs(rows)], outputs=outputs)
    response = client.post(
        f"{infer.path()}/infer", json=request, headers={"accept-encoding": "gzip"}
    )

    assert answered(response, model)
    if len(response.content) > 65_536:
        assert response.headers["content-encoding"] == "gzip"
