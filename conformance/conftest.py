"""Options of the suite, and the server and model that they name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.target import Infer, Model, answered, parsed
from conformance.tensors import Tensor, flat

_BINARY = {"binary_tensor_data", "binary_data"}
"""One extension has two names: Triton's specification has both."""

_REPOSITORY = {"model_repository", "model_repository_extension"}
"""The names that Triton and KServe use."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "Open Inference Protocol")
    group.addoption("--base-url", help="the server, such as http://127.0.0.1:8000")
    group.addoption("--model", help="the name of a model that is ready")
    group.addoption("--example", type=Path, help="a file with an inference request that it accepts")
    group.addoption("--header", action="append", default=[], help='such as "Authorization: …"')
    group.addoption(
        "--extension", action="append", default=[], help="test it although GET /v2 does not list it"
    )
    group.addoption("--repository", action="store_true", help="load and unload the model, too")
    group.addoption("--v1", action="store_true", help="the server speaks KServe's V1 as well")
    group.addoption("--gzip", action="store_true", help="the server reads and writes gzip")
    group.addoption("--tabular", action="store_true", help="number columns may be one matrix")


def _option(config: pytest.Config, name: str) -> str:
    value = config.getoption(name)
    if not value:
        raise pytest.UsageError(f"--{name.replace('_', '-')} is needed; see conformance/README.md.")
    return str(value)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("help", default=False):
        _option(config, "base_url")
        _option(config, "model")


@pytest.fixture(scope="session")
def client(pytestconfig: pytest.Config) -> Iterator[httpx.Client]:
    headers = dict(line.split(": ", 1) for line in pytestconfig.getoption("header"))
    url = _option(pytestconfig, "base_url")
    # A connection for each request: some servers close one after an error, which the next
    # request would be blamed for.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(
        base_url=url, headers=headers, timeout=30, limits=limits, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def extensions(client: httpx.Client, pytestconfig: pytest.Config) -> set[str]:
    response = client.get("/v2")
    listed = response.json().get("extensions") or [] if response.status_code == 200 else []
    return {*listed, *pytestconfig.getoption("extension")}


@pytest.fixture(scope="session")
def model(client: httpx.Client, pytestconfig: pytest.Config) -> Model:
    name = _option(pytestconfig, "model")
    response = client.get(f"/v2/models/{name}")
    assert response.status_code == 200, f"no metadata of {name}: {response.text[:300]}"
    path: Path | None = pytestconfig.getoption("example")
    example: dict[str, Any] = json.loads(path.read_text()) if path else {"inputs": []}
    tensors = [
        Tensor(
            tensor["name"],
            tensor["datatype"],
            tensor["shape"],
            flat(tensor["data"]),
            tensor.get("parameters") or {},
        )
        for tensor in example["inputs"]
    ]
    metadata = parsed(response.content)
    parameters = example.get("parameters") or {}
    if not path and (metadata.get("parameters") or {}).get("content_type"):
        parameters = {"content_type": metadata["parameters"]["content_type"]}
    return Model(name, metadata, tensors, parameters)


@pytest.fixture(scope="session")
def infer(client: httpx.Client, model: Model) -> Infer:
    return Infer(client, model.name)


@pytest.fixture(scope="session")
def version(infer: Infer, model: Model) -> str:
    response = infer.json(model.request())
    answered(response, model)
    version = response.json().get("model_version") or next(
        iter(model.metadata.get("versions") or []), None
    )
    if version is None:
        pytest.skip("the model has no versions")
    return str(version)


@pytest.fixture
def binary(extensions: set[str]) -> None:
    if not extensions & _BINARY:
        pytest.skip("the server does not list the binary tensor extension")


@pytest.fixture
def repository(extensions: set[str]) -> None:
    if not extensions & _REPOSITORY:
        pytest.skip("the server does not list the model repository extension")


@pytest.fixture
def loading(repository: None, pytestconfig: pytest.Config) -> None:  # noqa: ARG001
    if not pytestconfig.getoption("repository"):
        pytest.skip("it loads and unloads the model: --repository")


@pytest.fixture
def configuration(extensions: set[str]) -> None:
    if "model_configuration" not in extensions:
        pytest.skip("the server does not list the model configuration extension")


def _fixture(name: str, reason: str) -> Any:
    @pytest.fixture(name=name)
    def chosen(pytestconfig: pytest.Config) -> None:
        if not pytestconfig.getoption(name):
            pytest.skip(f"{reason}: --{name}")

    return chosen


v1 = _fixture("v1", "V1 is a protocol of its own")
tabular = _fixture("tabular", "one matrix for all columns is a convention")
