"""The bodies of the Open Inference Protocol and of V1, as OpenAPI shows them."""

from typing import Any, Literal

from pydantic import Field

from service.api.schemas import Reply


class ErrorReply(Reply):
    """Whatever went wrong, in one sentence, with a request that works where one helps."""

    error: str


class ServerReply(Reply):
    """The server's metadata."""

    name: str
    version: str
    extensions: list[str]


class LiveReply(Reply):
    """Liveness."""

    live: bool


class ServerReadyReply(Reply):
    """Readiness of the server."""

    ready: bool


class ModelReadyReply(Reply):
    """Readiness of a model."""

    name: str
    ready: bool


class NamesReply(Reply):
    """The names of all models."""

    models: list[str]


class TensorMetadata(Reply):
    """An input or an output of a model."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1: any number of rows")
    parameters: dict[str, str] | None = None


class ModelReply(Reply):
    """A model's metadata."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, str]


class ConfigTensor(Reply):
    """An input or an output in a model's configuration."""

    name: str
    data_type: str
    dims: list[int]


class ConfigReply(Reply):
    """A model's configuration, as perf_analyzer asks for it."""

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(description="0: the first dimension of every shape is the batch")
    input: list[ConfigTensor]
    output: list[ConfigTensor]
    version_policy: dict[str, dict[str, int]]


class IndexItem(Reply):
    """A version in the index of the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE", "UNKNOWN"]
    reason: str


class LoadReply(Reply):
    """A model that was put in use."""

    name: str
    load: bool


class UnloadReply(Reply):
    """A model that was let go from memory."""

    name: str
    unload: bool


class InferReply(Reply):
    """The answer to an inference."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[dict[str, Any]]


class V1Reply(Reply):
    """The answer to a prediction of V1."""

    predictions: list[str | int | bool]
    classes: list[str | int | bool] | None = None
    probabilities: list[list[float]] | None = None
