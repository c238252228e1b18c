"""A replica in another process, called over HTTP under `/internal/`."""

import logging
from collections.abc import Mapping
from typing import Any

import orjson
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError

from service.auth.peer_signatures import HEADER, sign
from service.common.domain import Version
from service.common.errors import (
    ChangeUnderWay,
    RegistryUnavailable,
    ReplicaDown,
    ReplicaSilent,
    ServiceError,
    StorageUnavailable,
    VersionNotServable,
)
from service.rollout import replica_skew, replica_traffic
from service.rollout.figures import Figures, read
from service.rollout.replica import Confirmation, Swapped
from service.rollout.replica_skew import ReplicaSkew
from service.rollout.replica_traffic import ReplicaTraffic

logger = logging.getLogger(__name__)

PREPARE_SECONDS = 20.0
"""How long a replica may take before the commit; until then nothing has changed."""

CONFIRM_SECONDS = 5.0
"""How long it may take for any other step."""

_CONNECT_SECONDS = 2.0


class Peer:
    """A replica in another process."""

    def __init__(
        self,
        url: str,
        identifier: str,
        key: str,
        pool: urllib3.PoolManager,
        unresponsive: bool = False,
    ) -> None:
        """`unresponsive`: it has just failed to answer, and is not called again."""
        self.id = identifier or url
        self._unresponsive = unresponsive
        self.url = url
        self._key = key
        self._pool = pool

    def grant(self, leader: str) -> None:
        """Reserve it for `leader`; raises ChangeUnderWay."""
        self._call("grant", {"leader": leader}, CONFIRM_SECONDS)

    def release(self, leader: str) -> None:
        """End the lease of `leader`, and drop what it had prepared."""
        self._call("release", {"leader": leader}, CONFIRM_SECONDS)

    def prepare(self, leader: str, version: Version) -> None:
        """Have it load a version, and keep it until the change ends."""
        body = {"leader": leader, "name": version.name, "version": version.version}
        self._call("prepare", body, PREPARE_SECONDS)

    def stage(self, leader: str) -> int:
        """Have it read the log of use; return the epoch that it can serve."""
        return int(self._call("stage", {"leader": leader}, CONFIRM_SECONDS)["epoch"])

    def hold(self) -> None:
        """Make its predictions wait."""
        self._call("hold", {}, CONFIRM_SECONDS)

    def swap(self) -> Swapped:
        """Have it serve what it has staged."""
        answer = self._call("swap", {}, CONFIRM_SECONDS)
        return Swapped(self._confirmation(answer), bool(answer["held"]))

    def confirm(self) -> Confirmation:
        """Ask which epoch it serves."""
        return self._confirmation(self._call("confirm", {}, CONFIRM_SECONDS))

    def cancel(self, training: str) -> bool:
        """Have it cancel a training; return whether that is open there."""
        body = {"training": training}
        return bool(self._call("cancel", body, CONFIRM_SECONDS)["cancelled"])

    def figures(self) -> Figures:
        """Ask what it reports of itself."""
        try:
            return read(self._call("figures", {}, CONFIRM_SECONDS), self.url)
        except ValueError as error:
            raise ReplicaSilent(self.id) from error

    def skew(self, version: str, seconds: int, size: int) -> ReplicaSkew:
        """Ask what it has counted of a version."""
        members = {"version": version, "seconds": seconds}
        try:
            return replica_skew.read(self._call("skew", members, CONFIRM_SECONDS), size)
        except ValueError as error:
            raise ReplicaSilent(self.id) from error

    def traffic(self, epoch: int) -> ReplicaTraffic:
        """Ask what it has counted of the second version of an epoch."""
        try:
            return replica_traffic.read(self._call("traffic", {"epoch": epoch}, CONFIRM_SECONDS))
        except ValueError as error:
            raise ReplicaSilent(self.id) from error

    def _confirmation(self, answer: Mapping[str, Any]) -> Confirmation:
        return Confirmation(str(answer["id"]), self.url, int(answer["epoch"]))

    def _call(self, step: str, members: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        if self._unresponsive:
            raise ReplicaSilent(self.id)
        path, body = f"/internal/{step}", orjson.dumps(members)
        headers = {"content-type": "application/json"}
        if self._key:
            headers[HEADER] = sign(self._key, path, body)
        timeout = urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds), read=seconds)
        for last in (False, True):
            try:
                answer = self._pool.request(
                    "POST", self.url + path, body=body, headers=headers, timeout=timeout
                )
                break
            except NewConnectionError as error:
                if isinstance(error.__cause__, ConnectionRefusedError):
                    raise ReplicaDown(self.id) from error
                raise ReplicaSilent(self.id) from error
            except HTTPError as error:
                # The other side of a reused connection may have ended: try once with a new one.
                if last or isinstance(error, urllib3.exceptions.TimeoutError):
                    raise ReplicaSilent(self.id) from error
        try:
            content = orjson.loads(answer.data)
        except ValueError as error:
            raise ReplicaSilent(self.id) from error
        if answer.status == 200:
            return dict(content)
        raise self._error(content, members)

    def _error(self, problem: Mapping[str, Any], members: Mapping[str, Any]) -> ServiceError:
        slug = str(problem.get("type", "")).rsplit("/", 1)[-1]
        detail = str(problem.get("detail", ""))
        if slug == "change-under-way":
            return ChangeUnderWay()
        if slug in ("version-not-servable", "version-not-found", "model-not-found"):
            reason = detail.split("cannot be served: ", 1)[-1]
            name, version = str(members.get("name", "")), int(members.get("version", 0))
            return VersionNotServable(name, version, f"replica {self.id}: {reason}")
        if slug == "mlflow-unavailable":
            reason = detail.removeprefix("MLflow is unavailable: ")
            return RegistryUnavailable(f"replica {self.id}: {reason}")
        if slug == "storage-unavailable":
            reason = detail.removeprefix("The service cannot write to its disk: ").rstrip(".")
            return StorageUnavailable(f"{reason} (replica {self.id})")
        logger.warning("replica %s refused a call: %s", self.id, detail)
        return ReplicaSilent(self.id)
