"""The settings, read once from `SERVICE_…` variables. Nothing else reads the environment."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.common.did_you_mean import did_you_mean
from service.common.errors import StartError, clip

PREFIX = "SERVICE_"

_KIBI = 1024
_MEBI = 1024 * _KIBI


class Settings(BaseSettings):
    """What can be set. Each field is the variable `SERVICE_` plus its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on: by default for this machine only; the image sets 0.0.0.0."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0: any free one."""
    grpc_port: int = Field(0, ge=0, le=65535)
    """Port to listen on for gRPC, at the same address; it needs the package grpcio. 0: none."""
    data_dir: Path = Path("data")
    """Folder for the embedded MLflow store, the cache of artifacts and the work of trainings."""
    mlflow_uri: str = ""
    """Address of an MLflow tracking server. Empty: MLflow's own store, embedded in the data
    folder."""
    replicas: Annotated[tuple[str, ...], NoDecode] = ()
    """All replicas: `dns://name:port` of a headless Service, or URLs with commas; this one may be
    among them. Empty: there are no others."""
    peer_key: SecretStr = SecretStr("")
    """Key with which replicas sign their calls to one another, at least 16 characters. Empty: only
    calls from this machine's own addresses are accepted."""
    api_keys_file: Path | None = None
    """File of the keys that clients need, a line each: `role: sha256 of the key in hex`, with a
    role of predict, train or admin, and perhaps a limit behind it, as in `200/s`. Read again when
    it changes. Empty: no key is needed."""
    starter_model: Literal["iris", ""] = "iris"
    """Data set of the small model that is trained when there is none yet. Empty: no such model."""
    poll_seconds: float = Field(1.0, ge=0.05, le=60)
    """How often MLflow is asked for the newest model in use, in seconds."""
    max_body_bytes: int = Field(8 * _MEBI, ge=_KIBI)
    """Largest JSON body in bytes, except for /train and /datasets."""
    max_rows: int = Field(10_000, ge=1)
    """Most instances in one JSON request for predictions."""
    max_upload_bytes: int = Field(64 * _MEBI, ge=_KIBI)
    """Largest body of /train, form or JSON body of /datasets, and file of rows to /predict, in
    bytes."""
    max_dataset_bytes: int = Field(2048 * _MEBI, ge=_KIBI)
    """Largest CSV or Parquet file that is the body of /datasets, in bytes; `max_upload_bytes`
    counts where that is more."""
    max_bulk_rows: int = Field(1_000_000, ge=1)
    """Most rows in a file of rows to /train or /predict."""
    max_dataset_rows: int = Field(100_000_000, ge=1)
    """Most rows in a data set; `max_bulk_rows` counts where that is more."""
    max_columns: int = Field(10_000, ge=1)
    """Most columns in a data set."""
    max_json_depth: int = Field(32, ge=4, le=200)
    """Deepest nesting of a JSON body."""
    max_header_bytes: int = Field(16 * _KIBI, ge=_KIBI)
    """Largest sum of a request's header names and values, in bytes."""
    max_url_bytes: int = Field(8 * _KIBI, ge=256)
    """Longest URL, in bytes."""
    max_connections: int = Field(1000, ge=1, le=100_000)
    """Most connections at one time; one more gets 503."""
    idle_seconds: float = Field(15.0, gt=0, le=600)
    """How long an incomplete header or body may wait for the rest, in seconds."""
    training_seconds: float = Field(600.0, gt=0, le=86_400)
    """Longest training, in seconds; a longer one is stopped."""
    training_memory_bytes: int = Field(4 * 1024 * _MEBI, ge=512 * _MEBI)
    """Most memory of a training with all its processes, in bytes. Libraries take about 0.3 GiB of
    it."""
    training_disk_bytes: int = Field(2 * 1024 * _MEBI, ge=64 * _MEBI)
    """Most disk space that a training, or the reading of an upload, may use, in bytes; the upload
    is included. The reading of a data set may use twice `max_dataset_bytes` where that is more."""
    trainings_at_once: int = Field(1, ge=1, le=16)
    """Most trainings that run at one time in this replica."""
    trainings_queued: int = Field(8, ge=0, le=1000)
    """Most trainings in the queue; one more gets 429."""
    executor: Literal["process", "kubernetes"] = "process"
    """Where trainings run: in processes beside the service, or as Jobs of Kubernetes."""
    job_template: Path | None = None
    """File with the Job, as JSON, that each training's Job is made from; for `kubernetes`."""
    training_pods: int = Field(4, ge=1, le=1000)
    """Most pods that trainings have at one time, of all replicas together; for `kubernetes`."""
    children_idle_seconds: float = Field(300.0, ge=0, le=86_400)
    """How long the process that forks workers stays without one, in seconds. Its imports are more
    than half of the memory, and importing them again takes seconds. 0: it stays."""
    keep_failed_days: int = Field(0, ge=0, le=36_500)
    """How long trainings that failed or were cancelled are kept, in days; 0: for ever."""
    keep_datasets_days: int = Field(0, ge=0, le=36_500)
    """How long uploaded data sets that no version and no open training uses are kept, in days after
    their last upload; 0: for ever."""
    wait_seconds: float = Field(30.0, ge=0, le=300)
    """How long POST /train waits for the end if the request has no `wait`, in seconds."""
    versions_loaded: int = Field(4, ge=1, le=1000)
    """Most versions that are kept loaded beside the one in use, for requests that name them."""
    versions_loaded_bytes: int = Field(1024 * _MEBI, ge=_MEBI)
    """Most bytes that the files of those versions may have in sum; one of them is always kept."""
    skew_rows_per_second: int = Field(5000, ge=0, le=1_000_000)
    """Most rows a second whose values and answers are counted for GET /skew, of 50 features; of
    wider rows fewer. Where more are answered, one in several is counted. 0: none."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, with commas, whose pages may call the service from a browser, as in
    `https://example.org`. Empty: none but its own."""
    max_in_flight: int = Field(64, ge=1)
    """Most predictions in threads at one time; one more gets 503. The limit is lower for a slow
    model, so that none waits long."""
    short_way: bool = True
    """Whether requests with one row take the fast path, before ASGI and several in one run.
    Otherwise each is answered by the application, with the same answers."""
    allow_pickle: bool = False
    """Whether a model that was logged to MLflow as a pickle may be loaded, which runs its code."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log lines that are written."""

    @property
    def largest_data_set(self) -> int:
        """The most bytes of a file that is the body of /datasets."""
        return max(self.max_dataset_bytes, self.max_upload_bytes)

    @property
    def most_data_set_rows(self) -> int:
        """The most rows of a data set."""
        return max(self.max_dataset_rows, self.max_bulk_rows)

    @field_validator("replicas", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())

    @field_validator("api_keys_file", "job_template", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("replicas")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        named = [part for part in value if re.fullmatch(r"dns://[\w.-]+:\d{1,5}", part)]
        listed = [part for part in value if re.fullmatch(r"https?://[^\s/]+", part)]
        if not (len(listed) == len(value) or len(named) == len(value) == 1):
            raise ValueError("must be dns://name:port, or URLs (http://host:port) with commas")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"https?://[^\s/*?#@]+", origin) for origin in value):
            raise ValueError("must be origins (https://host or https://host:port) with commas")
        return value

    @field_validator("peer_key")
    @classmethod
    def _long(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 16:
            raise ValueError("must have 16 characters or more")
        return value

    @model_validator(mode="after")
    def _shared(self) -> "Settings":
        if self.replicas and not self.mlflow_uri:
            raise ValueError("SERVICE_REPLICAS needs SERVICE_MLFLOW_URI: replicas share one MLflow")
        if self.executor == "kubernetes" and not (self.mlflow_uri and self.job_template):
            raise ValueError(
                "SERVICE_EXECUTOR=kubernetes needs SERVICE_MLFLOW_URI, by which pods get what they "
                "train on, and SERVICE_JOB_TEMPLATE"
            )
        return self

    @field_validator("mlflow_uri")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/]+.*", value):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")


def read_settings() -> Settings:
    """Read the environment; raises StartError with a sentence for each wrong variable."""
    names = {PREFIX + name.upper() for name in Settings.model_fields}
    sentences = [
        f"{name} is not a setting{did_you_mean(name, names) or '.'}"
        for name in sorted(os.environ)
        if name.upper().startswith(PREFIX) and name not in names
    ]
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            message = problem["msg"].removeprefix("Value error, ")
            if not problem["loc"]:
                sentences.append(f"{message}.")
                continue
            name = PREFIX + str(problem["loc"][0]).upper()
            given = "set" if name.endswith("_KEY") else clip(repr(problem["input"]))
            sentences.append(f"{name} is {given}: {message[0].lower()}{message[1:]}.")
    if sentences:
        raise StartError("\n".join(sentences))
    return settings
