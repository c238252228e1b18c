"""The service's HTTP API: requests with a key, JSON replies, errors as MlflowException."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

KEY = "DESAFIO_API_KEY"
"""The environment variable with the API key, where the service asks for one."""

_SECONDS = 60
"""A change of the model in use may take 20 seconds to prepare in each replica."""

_CODES = {
    400: codes.INVALID_PARAMETER_VALUE,
    401: codes.UNAUTHENTICATED,
    403: codes.PERMISSION_DENIED,
    404: codes.RESOURCE_DOES_NOT_EXIST,
    409: codes.INVALID_STATE,
    413: codes.INVALID_PARAMETER_VALUE,
    415: codes.INVALID_PARAMETER_VALUE,
    429: codes.REQUEST_LIMIT_EXCEEDED,
    503: codes.TEMPORARILY_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is no error."""

    status: int
    headers: Message
    body: Any


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the error it is here, as the key must not go to another host."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> None:
        """Return no request to follow."""


class Api:
    """One service, by the base URL in a target URI such as `desafio:http://127.0.0.1:8000`."""

    def __init__(self, target_uri: str) -> None:
        self._base = _base_url(target_uri)
        self._opener = urllib.request.build_opener(_NoRedirects)

    def get(self, path: str) -> Reply:
        """Get a path."""
        return self._send("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Post JSON."""
        try:
            content = json.dumps(body, allow_nan=False, default=_plain).encode()
        except (TypeError, ValueError) as error:
            raise MlflowException(
                f"The input cannot be written as JSON: {error}.", codes.INVALID_PARAMETER_VALUE
            ) from error
        return self._send("POST", path, content)

    def _send(self, method: str, path: str, content: bytes | None) -> Reply:
        request = urllib.request.Request(
            self._base + path, content, _headers(content), method=method
        )
        try:
            with self._opener.open(request, timeout=_SECONDS) as response:
                return Reply(response.status, response.headers, _json(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                raise _failure(error.code, error.read()) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise MlflowException(
                f"{self._base} does not answer: {reason}.", codes.TEMPORARILY_UNAVAILABLE
            ) from error


def _base_url(target_uri: str) -> str:
    """Return the base URL; raise MlflowException if there is none in the target URI."""
    base = target_uri.partition(":")[2].rstrip("/")
    try:
        parts = urlsplit(base)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment:
        raise MlflowException(
            f"The target {target_uri!r} does not name a service: "
            "write it as desafio:http://127.0.0.1:8000.",
            codes.INVALID_PARAMETER_VALUE,
        )
    return base


def _headers(content: bytes | None) -> dict[str, str]:
    headers = {} if content is None else {"Content-Type": "application/json"}
    key = os.environ.get(KEY)
    if not key:
        return headers
    if not (key.isascii() and key.isprintable()):
        # The key itself must not be shown.
        raise MlflowException(
            f"{KEY} has characters that no API key has.", codes.INVALID_PARAMETER_VALUE
        )
    return {**headers, "Authorization": f"Bearer {key}"}


def _plain(value: Any) -> Any:
    """Return a value of NumPy or of a date as JSON writes it."""
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise MlflowException(
            "The reply is not JSON, so that the target is not this service.", codes.INTERNAL_ERROR
        ) from error


def _failure(status: int, content: bytes) -> MlflowException:
    """Return the exception that tells what the service said."""
    try:
        problem = json.loads(content)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    sentence = problem.get("detail") or problem.get("message") or problem.get("error")
    lines = [str(sentence or f"The service answered with status {status} and no reason.")]
    lines += [
        f"{error.get('pointer')}: {error.get('message')}"
        for error in problem.get("errors") or []
        if isinstance(error, dict)
    ]
    if problem.get("example") is not None:
        lines.append(f"A request that works: {json.dumps(problem['example'])}")
    return MlflowException("\n".join(lines), _CODES.get(status, codes.INTERNAL_ERROR))
