"""Moves the alias that the replicas follow, as somebody does in MLflow."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from tests.history.cluster import Cluster
from tests.history.history import Operation, Outcome
from tests.history.target import MODEL, Target
from tests.history.writers import use_acknowledged
from tests.support.waiting import wait_until

ALIAS = "champion"
FOLLOW_SECONDS = 10.0
"""How soon after a move every replica must have followed, also on a busy machine."""


def at_address(mlflow_uri: str) -> Target:
    """Return the MLflow server, to be asked as any other server."""
    address = urlsplit(mlflow_uri)
    return Target("mlflow", address.hostname or "", address.port or 80)


def made_by(mlflow: Target, who: str) -> int:
    """Count the entries of the log of use that `who` made."""
    path = "/api/2.0/mlflow/model-versions/search?max_results=1000&filter="
    status, answer = mlflow.ask("GET", f"{path}name%3D%27in-use%27")
    assert status == 200, answer
    tags = [
        {tag["key"]: tag["value"] for tag in entry.get("tags", ())}
        for entry in answer.get("model_versions", ())
    ]
    return sum(one.get("by") == who for one in tags)


class Mover:
    """Has the alias followed, and then moves it again and again to another version.

    A move is recorded as a change: from its request to MLflow until every replica answers from its
    epoch. It counts as acknowledged unless a replica says that one was late, which is what 202
    says to a client of `/use-model`.
    """

    def __init__(
        self, cluster: Cluster, mlflow_uri: str, versions: Sequence[int], moves: int, seed: int = 1
    ) -> None:
        self._mlflow = at_address(mlflow_uri)
        self._cluster = cluster
        self._versions = versions
        self._random = random.Random(seed)
        self._left = moves
        self.last = versions[0]
        """The version that the alias names."""

    def run(self, stop: threading.Event, record: Callable[[Operation], None]) -> None:
        """Move until `stop`, or until all moves are made."""
        self._set(self.last)
        first = use_acknowledged("first", self._cluster.replicas[0], self.last, alias=ALIAS)
        record(first)
        epoch = first.epoch
        while self._left and not stop.wait(self._random.uniform(0, 0.5)):
            self._left -= 1
            done = self._move(epoch)
            record(done)
            epoch = done.epoch

    def _move(self, previous: int) -> Operation:
        self.last = self._random.choice([one for one in self._versions if one != self.last])
        start = time.monotonic()
        self._set(self.last)
        epoch = wait_until(lambda: self._cluster.agree(previous + 1), FOLLOW_SECONDS)
        end = time.monotonic()
        late = f"does not follow epoch {epoch}"
        is_late = any(late in replica.log() for replica in self._cluster.replicas)
        outcome: Outcome = "committed" if is_late else "acknowledged"
        return Operation(
            "mover", "use", "mlflow", start, end, outcome, epoch, f"{MODEL}/{self.last}",
            expected=previous, previous=previous,
        )  # fmt: skip

    def _set(self, version: int) -> None:
        body = {"name": MODEL, "alias": ALIAS, "version": str(version)}
        path = "/api/2.0/mlflow/registered-models/alias"
        status, answer = self._mlflow.ask("POST", path, body)
        assert status == 200, answer

    def changes(self) -> int:
        """Count the entries of the log of use that replicas made because the alias had moved."""
        return made_by(self._mlflow, f"alias {ALIAS}")
