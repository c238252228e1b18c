"""Turns the errors of MLflow's client into the service's own."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.common.disk_errors import lack
from service.common.errors import Conflict, NotFound, RegistryUnavailable, StorageUnavailable, clip

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

NOT_FOUND = "RESOURCE_DOES_NOT_EXIST"
EXISTS = "RESOURCE_ALREADY_EXISTS"
INVALID = "INVALID_PARAMETER_VALUE"


@contextmanager
def translated(missing: NotFound | Conflict | None = None) -> Iterator[None]:
    """Turn MLflow's errors into the service's; `missing` is raised where it says "not found"."""
    from mlflow.exceptions import MlflowException, RestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        if stranger := _stranger(error):
            raise RegistryUnavailable(stranger) from error
        if error.error_code == NOT_FOUND and missing is not None:
            raise missing from error
        # A server's message about a disk is about its own disk.
        if not isinstance(error, RestException) and (reason := lack(error)):
            raise StorageUnavailable(reason) from error
        raise RegistryUnavailable(_first_line(error)) from error
    except (OSError, SQLAlchemyError, sqlite3.Error) as error:
        if reason := lack(error):
            raise StorageUnavailable(reason) from error
        raise RegistryUnavailable(_first_line(error)) from error


@contextmanager
def unless_it_exists() -> Iterator[None]:
    """Ignore that what the block creates exists already."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != EXISTS:
            raise


def is_silence(error: BaseException) -> bool:
    """Return whether an error means that MLflow did not answer."""
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    return any(isinstance(cause, RequestException | HTTPError) for cause in _causes(error))


def may_have_arrived(error: BaseException) -> bool:
    """Return whether a call that failed may have reached MLflow, or may reach it yet."""
    from mlflow.exceptions import MlflowException
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    causes = _causes(error)
    if any(isinstance(cause, NewConnectionError | ConnectTimeoutError) for cause in causes):
        return False
    # A proxy may have passed the request on before it answered itself.
    by_proxy = any(isinstance(cause, MlflowException) and _stranger(cause) for cause in causes)
    return by_proxy or is_silence(error)


_NOT_JSON = re.compile(r"API request to endpoint .*?(?:error code (\d+) !=|not in a valid JSON)")


def _stranger(error: "MlflowException") -> str:
    """Return a sentence where another server than MLflow answered, whose replies are JSON; else "".

    A proxy answers so while the routes of a new pod are being made. Its 404 is not about a model.
    """
    match = _NOT_JSON.match(str(error))
    if not match:
        return ""
    return (
        f"another server answers at its address, with status {match[1] or 200} and without "
        "MLflow's JSON; is SERVICE_MLFLOW_URI right?"
    )


def _causes(error: BaseException) -> list[BaseException]:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return causes


def _first_line(error: BaseException) -> str:
    """Return a sentence without the addresses, statements and paths in MLflow's message."""
    from requests.exceptions import ConnectionError, RetryError, Timeout
    from urllib3.exceptions import ReadTimeoutError

    causes = _causes(error)
    if any(isinstance(cause, Timeout | ReadTimeoutError) for cause in causes):
        return "it did not answer in time."
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return "it cannot be reached."
    if any(isinstance(cause, RetryError) for cause in causes):
        return "it answers with an error of its own (5xx); its log has the reason."
    codes = {getattr(cause, "sqlite_errorcode", 0) & 0xFF for cause in causes}
    if sqlite3.SQLITE_FULL in codes:
        return "no space is left on its disk."
    if sqlite3.SQLITE_IOERR in codes:
        return "its disk is full, or fails."
    line = str(error).strip().split("\n")[0]
    line = re.sub(r"https?://\S+|(?:/[\w.-]+){2,}", "…", line)
    return f"{clip(line, 160).rstrip('.')}."
