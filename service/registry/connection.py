"""The connection to MLflow: its address, its client, and its errors as the service's own."""

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from service.common.domain import NEXT_PAGE
from service.common.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    RegistryUnavailable,
    StartError,
)
from service.registry.breaker import Breaker
from service.registry.download import FolderSource, NotFetchable, ServerSource, Source
from service.registry.errors import is_silence, translated, unless_it_exists
from service.registry.relocation import relocate
from service.registry.slim_imports import slim_imports

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# MLflow reads these from the environment at each call; they are set before it is imported.
_ENVIRONMENT = {
    # By default a call to a server that is down blocks for four minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A server in front of an object store may send its clients there, which pods cannot reach.
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "20",
    # json_logs formats the lines of all loggers.
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

_STORAGE_SECONDS = 2.0

_OF_MODELS = {"mlflow.experimentKind": "custom_model_development"}
"""Makes MLflow's page open on runs and models rather than on traces of language models."""

EXPERIMENTS = ("trainings", "datasets", "outcomes")


class Connection:
    """An MLflow client, and access to artifacts."""

    def __init__(self, uri: str, data_dir: Path) -> None:
        """Connect to the server at `uri`, or open the store in `data_dir` where that is empty.

        Raises StartError where the embedded store cannot be opened.
        """
        os.environ.update(_ENVIRONMENT)
        self.embedded = not uri
        self._root = (data_dir / "artifacts").resolve()
        self._experiments: dict[str, str] = {}
        self._breaker = Breaker(is_silence)
        store = (data_dir / "mlflow.db").resolve()
        self.uri = uri or f"sqlite:///{store}"
        with slim_imports():
            self.client: MlflowClient = self._open(store)

    def _open(self, store: Path) -> "MlflowClient":
        from mlflow.tracking import MlflowClient

        if not self.embedded:
            return MlflowClient(self.uri, self.uri)
        try:
            with translated():
                relocate(store, self._root)
                self.client = MlflowClient(self.uri, self.uri)
                for name in EXPERIMENTS:
                    self.experiment(name)
        except RegistryUnavailable as error:
            raise StartError(
                f"{store} cannot be opened as MLflow's store: {error.reason} "
                "Restore it from a backup, or move it away to start with an empty one."
            ) from error
        return self.client

    @contextmanager
    def calls(
        self, missing: NotFound | Conflict | None = None, *, vital: bool = False
    ) -> Iterator[None]:
        """Make calls to MLflow in the block: their errors are `translated`.

        While MLflow does not answer, only vital calls are made.
        """
        try:
            with self._breaker.call(vital=vital), translated(missing):
                yield
        except RegistryUnavailable:
            _connect_anew()
            raise

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, which is created on first use."""
        if name not in self._experiments:
            experiment = self.client.get_experiment_by_name(name)
            if experiment is not None:
                self._experiments[name] = experiment.experiment_id
            else:
                location = (self._root / name).as_uri() if self.embedded else None
                with unless_it_exists():
                    self.client.create_experiment(name, location, dict(_OF_MODELS))
                self._experiments[name] = self.client.get_experiment_by_name(name).experiment_id
        return self._experiments[name]

    def search_runs(
        self,
        experiment: str,
        wanted: str,
        most: int,
        page_token: str | None = None,
        *,
        newest_first: bool = True,
    ) -> Any:
        """Return up to `most` runs of an experiment that fit the filter `wanted`, and a token."""
        with self.calls():
            return self.client.search_runs(
                [self.experiment(experiment)],
                filter_string=wanted,
                max_results=most,
                order_by=[f"attributes.start_time {'DESC' if newest_first else 'ASC'}"],
                page_token=page_token,
            )

    def source(self, location: str) -> Source:
        """Return access to the artifacts at `location`.

        Raises NotFetchable where that lies outside of MLflow's own storage.
        """
        if location.startswith("models:/m-"):
            identifier = location.removeprefix("models:/").split("/")[0]
            location = self.client.get_logged_model(identifier).artifact_location
        if self.embedded:
            from mlflow.utils.file_utils import local_file_uri_to_path

            path = Path(local_file_uri_to_path(location)).resolve()
            if path.is_relative_to(self._root.parent):
                return FolderSource(path)
        else:
            from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

            address = urlsplit(location)
            # The address may name a server; only the configured one is called.
            if address.scheme == "mlflow-artifacts" and address.netloc in (
                "",
                urlsplit(self.uri).netloc,
            ):
                return ServerSource(MlflowArtifactsRepository(location, self.uri, self.uri))
        raise NotFetchable("its artifacts lie outside of MLflow's own storage")

    def reach_storage(self) -> None:
        """Check that artifacts can be read: MLflow may answer while its object store is down.

        Raises RegistryUnavailable after about two seconds, where a transfer would take much longer.
        """
        if self.embedded:
            return
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request_safe

        with self.calls():
            http_request_safe(
                get_default_host_creds(self.uri),
                "/api/2.0/mlflow-artifacts/artifacts",
                "GET",
                params={"path": "none"},
                timeout=_STORAGE_SECONDS,
                max_retries=0,
            )

    def select(self) -> None:
        """Make this store the process' default, in which MLflow's registry looks models up."""
        from mlflow.tracking import get_tracking_uri, set_tracking_uri

        if get_tracking_uri() != self.uri:
            set_tracking_uri(self.uri)

    def close(self) -> None:
        """Close the embedded store."""
        if self.embedded:
            for store in (
                self.client._tracking_client.store,
                self.client._get_registry_client().store,
            ):
                engine = getattr(store, "engine", None)
                if engine is not None:
                    engine.dispose()


class RegistryPart:
    """What the parts of the registry have in common."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client


def _connect_anew() -> None:
    """Make the next calls open new connections.

    A pooled one may lead to another server: if it was opened while the routes of a new pod were
    being made, each poll keeps it alive, and it is never closed.
    """
    from mlflow.utils.request_utils import _cached_get_request_session

    _cached_get_request_session.cache_clear()


def checked_page_token(token: str | None) -> str | None:
    """Return MLflow's page token for one of ours, which is the offset; raises InvalidRequest.

    MLflow itself fails in other ways on an invalid token, and accepts a negative offset.
    """
    if token is None:
        return None
    if not re.fullmatch(NEXT_PAGE, token):
        raise InvalidRequest("page_token is not one that this service gave.")
    return base64.b64encode(b'{"offset": %d}' % int(token)).decode()


def page_token_of(page: Any) -> str | None:
    """Return our token for MLflow's next page, or None; the embedded store's token is bytes."""
    if not page.token:
        return None
    return str(orjson.loads(base64.b64decode(page.token))["offset"])
