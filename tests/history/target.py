"""The service at an address, as clients call it, and the models of the histories.

Needs only the standard library and the contents of the product's image, like all code of the
clients, as they also run in a pod.
"""

import http.client
import json
from typing import Any

import orjson

MODEL = "history"
INSTANCE = {"x": 1.0, "y": 2.0}
KEY = "x-customer"
"""The header by which a split between two versions is made."""
MOST_VERSIONS = 8
TYPES = ("LogisticRegression", "GaussianNB", "DecisionTreeClassifier", "LinearDiscriminantAnalysis")


class Target:
    """One replica, or a balancer in front of several."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self.host = host
        self.port = port

    def ask(
        self, method: str, path: str, body: object = None, timeout: float = 30
    ) -> tuple[int, dict[str, Any]]:
        """Send one request on a new connection; return the status and the JSON of the answer.

        Raises OSError, HTTPException or ValueError if there is no answer.
        """
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            content = None if body is None else orjson.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def answers(self, path: str) -> bool:
        """Return whether it answers 200 within a second, like a kubelet's probe."""
        try:
            return self.ask("GET", path, timeout=1)[0] == 200
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def epoch(self) -> int:
        """Return the epoch that it serves; 0 if it does not answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            body = orjson.dumps({"instances": [INSTANCE]})
            connection.request("POST", "/predict", body, {"content-type": "application/json"})
            return int(connection.getresponse().headers.get("x-model-epoch", 0))
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def train(self, count: int) -> list[int]:
        """Train versions whose predictions name the version; return their numbers."""
        made: list[int] = []
        for i in range(count):
            number = made[-1] + 1 if made else 1
            status, answer = self.ask("POST", "/train", order(number, TYPES[i % len(TYPES)]), 90)
            assert status == 201, answer
            assert answer["version"] == number, answer
            made.append(number)
        return made


def order(number: int, model_type: str) -> dict[str, object]:
    """Return the training request of version `number`, which predicts that number of `INSTANCE`.

    All versions have the same classes, so that one may stand beside another.
    """
    rows: list[list[object]] = [[1 + k / 40, 2 + k % 3, f"{MODEL}/{number}a"] for k in range(30)]
    for one in range(1, MOST_VERSIONS + 1):
        if one != number:
            rows += [[20 * one + k / 40, 9 * one - k % 3, f"{MODEL}/{one}a"] for k in range(30)]
    return {
        "name": MODEL,
        "model_type": model_type,
        "dataset": {"columns": ["x", "y", "label"], "rows": rows},
        "target": "label",
        "use": False,
    }
