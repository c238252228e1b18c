"""The way to MLflow: where it is, the client, and its errors in the service's own words."""

import base64
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from service.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    RegistryUnavailable,
    StartError,
    StorageUnavailable,
    clip,
)
from service.model import PAGE_TOKEN
from service.registry.breaker import Breaker
from service.registry.download import FolderSource, NotFetchable, ServerSource, Source
from service.registry.relocation import relocate
from service.registry.skinny import skinny
from service.storage import lack

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# MLflow reads these from the environment at each call, so they stand there before it is imported.
_ENVIRONMENT = {
    # With its defaults a call to a server that is down blocks for four minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A server before an object store offers its clients to go there themselves. They may not.
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "20",
    # Its lines are to be JSON like all others: logs.
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

_STORAGE_SECONDS = 2.0

_NOT_FOUND = "RESOURCE_DOES_NOT_EXIST"
EXISTS = "RESOURCE_ALREADY_EXISTS"

_OF_MODELS = {"mlflow.experimentKind": "custom_model_development"}
"""Opens MLflow's page on runs and models rather than on traces of language models."""

EXPERIMENTS = ("trainings", "datasets")


class Connection:
    """An MLflow client and what it takes to find artifacts."""

    def __init__(self, uri: str, data_dir: Path) -> None:
        """Connect to the server at `uri`, or open the store in `data_dir` where that is empty.

        Raises StartError where the embedded store cannot be opened.
        """
        os.environ.update(_ENVIRONMENT)
        self.embedded = not uri
        self._root = (data_dir / "artifacts").resolve()
        self._experiments: dict[str, str] = {}
        self._breaker = Breaker(_is_silence)
        store = (data_dir / "mlflow.db").resolve()
        self.uri = uri or f"sqlite:///{store}"
        with skinny():
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
        """Make calls to MLflow: their errors are `translated`, and its silence is remembered.

        While it is silent only what is vital is asked at all.
        """
        with self._breaker.call(vital=vital), translated(missing):
            yield

    def experiment(self, name: str) -> str:
        """Give the id of an experiment, made on first use."""
        if name not in self._experiments:
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                self._experiments[name] = found.experiment_id
            else:
                location = (self._root / name).as_uri() if self.embedded else None
                with unless_it_exists():
                    self.client.create_experiment(name, location, dict(_OF_MODELS))
                self._experiments[name] = self.client.get_experiment_by_name(name).experiment_id
        return self._experiments[name]

    def source(self, location: str) -> Source:
        """Give access to the artifacts at `location`.

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

            place = urlsplit(location)
            # It may name a server to ask, and that is to be no other one.
            if place.scheme == "mlflow-artifacts" and place.netloc in (
                "",
                urlsplit(self.uri).netloc,
            ):
                return ServerSource(MlflowArtifactsRepository(location, self.uri, self.uri))
        raise NotFetchable("its artifacts lie outside of MLflow's own storage")

    def reach_storage(self) -> None:
        """Find out whether artifacts can be had: MLflow may answer while its object store is away.

        Raises RegistryUnavailable within some two seconds, where a transfer would take its time.
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
        """Make this store the process' default: MLflow's registry looks models up in that one."""
        from mlflow.tracking import get_tracking_uri, set_tracking_uri

        if get_tracking_uri() != self.uri:
            set_tracking_uri(self.uri)

    def close(self) -> None:
        """Let go of the embedded store."""
        if self.embedded:
            for store in (
                self.client._tracking_client.store,
                self.client._get_registry_client().store,
            ):
                engine = getattr(store, "engine", None)
                if engine is not None:
                    engine.dispose()


@contextmanager
def translated(missing: NotFound | Conflict | None = None) -> Iterator[None]:
    """Turn MLflow's errors into the service's; `missing` is raised where it says "not found"."""
    from mlflow.exceptions import MlflowException, RestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        if error.error_code == _NOT_FOUND and missing is not None:
            raise missing from error
        # What a server says of a disk is said of its own.
        if not isinstance(error, RestException) and (reason := lack(error)):
            raise StorageUnavailable(reason) from error
        raise RegistryUnavailable(_first_line(error)) from error
    except (OSError, SQLAlchemyError, sqlite3.Error) as error:
        if reason := lack(error):
            raise StorageUnavailable(reason) from error
        raise RegistryUnavailable(_first_line(error)) from error


@contextmanager
def unless_it_exists() -> Iterator[None]:
    """Let a creation pass that somebody else was first with."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != EXISTS:
            raise


def checked_page_token(token: str | None) -> str | None:
    """Give MLflow's token for one of ours, which is the offset alone; raises InvalidRequest.

    MLflow itself fails in other ways on what is no token, and takes a negative offset.
    """
    if token is None:
        return None
    if not re.fullmatch(PAGE_TOKEN, token):
        raise InvalidRequest("page_token is not one that this service gave.")
    return base64.b64encode(b'{"offset": %d}' % int(token)).decode()


def page_token_of(page: Any) -> str | None:
    """Give our token of the next page from MLflow's, which the embedded store gives as bytes."""
    if not page.token:
        return None
    return str(orjson.loads(base64.b64decode(page.token))["offset"])


def _is_silence(error: BaseException) -> bool:
    """Tell an error by which MLflow did not answer from one that is its answer, or the disk's."""
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    return any(isinstance(cause, RequestException | HTTPError) for cause in _causes(error))


def may_have_arrived(error: BaseException) -> bool:
    """Tell whether a call that failed may have reached MLflow, or may reach it yet."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    if any(isinstance(c, NewConnectionError | ConnectTimeoutError) for c in _causes(error)):
        return False
    return _is_silence(error)


def _causes(error: BaseException) -> list[BaseException]:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return causes


def _first_line(error: BaseException) -> str:
    """Give a sentence without the addresses, statements and paths that MLflow puts in."""
    from requests.exceptions import ConnectionError, RetryError, Timeout
    from urllib3.exceptions import ReadTimeoutError

    causes = _causes(error)
    if any(isinstance(cause, Timeout | ReadTimeoutError) for cause in causes):
        return "it did not answer in time."
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return "it cannot be reached."
    if any(isinstance(cause, RetryError) for cause in causes):
        return "it answers with an error of its own (5xx), of which its log has the reason."
    codes = {getattr(cause, "sqlite_errorcode", 0) & 0xFF for cause in causes}
    if sqlite3.SQLITE_FULL in codes:
        return "no space is left on its disk."
    if sqlite3.SQLITE_IOERR in codes:
        return "its disk is full, or fails."
    line = str(error).strip().split("\n")[0]
    line = re.sub(r"https?://\S+|(?:/[\w.-]+){2,}", "…", line)
    return f"{clip(line, 160).rstrip('.')}."
