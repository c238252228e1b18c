"""How the tests of `helm test` speak to the service and to MLflow."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

API = os.environ["API"]
MLFLOW = os.environ["MLFLOW"]
NAMESPACE = os.environ["NAMESPACE"]

EXAMPLE = {
    "sepal length (cm)": 5.1,
    "sepal width (cm)": 3.5,
    "petal length (cm)": 1.4,
    "petal width (cm)": 0.2,
}


# One that speaks HTTP and nothing else: neither file: nor ftp:, and past no proxy.
_OPENER = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.UnknownHandler,
):
    _OPENER.add_handler(_handler())


def ask(method: str, url: str, body: Any = None) -> tuple[int, Any]:
    """Send one request and give the status and the JSON of the answer.

    A connection that cannot be made is tried for 20 s: a network policy knows a new pod only after
    a moment.
    """
    request = urllib.request.Request(url, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if "API_KEY" in os.environ and url.startswith(API):
        request.add_header("Authorization", f"Bearer {os.environ['API_KEY']}")
    deadline = time.monotonic() + 20
    while True:
        try:
            with _OPENER.open(request, timeout=60) as answer:
                return answer.status, _json(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _json(error.read())
        except urllib.error.URLError as error:
            if time.monotonic() > deadline:
                sys.exit(f"{method} {url}: {error.reason}")
            time.sleep(0.5)


def expect(status: int, method: str, url: str, body: Any = None) -> Any:
    """Send one request and give the JSON of the answer, which must have this status."""
    found, answer = ask(method, url, body)
    if found != status:
        sys.exit(f"{method} {url}: {found} instead of {status}: {answer}")
    return answer


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
