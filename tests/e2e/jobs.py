"""Trainings as Jobs, as a client and as whoever runs the cluster sees them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.cluster import PORTS, Cluster, CommandError
from tests.e2e.forward import Forward
from tests.e2e.waiting import wait_until

TRAINING = "mlops-desafio/training"
_INDEX = "batch.kubernetes.io/job-completion-index"
_EXPERIMENTS = 100
_RUNS = 1000
_PEAK = (
    "cat /sys/fs/cgroup/memory.peak 2>/dev/null "
    "|| cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes"
)

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trainings:
    """The trainings of a release, whichever of its replicas answers."""

    release: Cluster
    api: httpx.Client

    def begin(
        self, body: Mapping[str, Any], files: Any = None, api: httpx.Client | None = None
    ) -> str:
        """Send a request that waits for nothing; return the id of its training."""
        order = {**body, "wait": 0}
        client = self.api if api is None else api
        if files is None:
            response = client.post("/train", json=order)
        else:
            fields = {key: _field(value) for key, value in order.items()}
            response = client.post("/train", data=fields, files=files)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def read(self, training: str) -> Body | None:
        """Return a training; None where no replica answers, as in a rollout."""
        try:
            response = self.api.get(f"/trainings/{training}", timeout=10)
        except httpx.TransportError:
            return None
        return response.json() if response.is_success else None

    def wait_for(self, training: str, state: str, seconds: float, stage: str = "") -> Body:
        """Wait until a training is in a state, and in a stage that contains a text."""

        def reached() -> Body | None:
            body = self.read(training)
            found = body is not None and body["state"] == state and stage in body.get("stage", "")
            return body if found else None

        return wait_until(
            f"{state} {stage}", reached, seconds, seen=lambda: self.read(training), pause=0.3
        )

    def wait_for_end(self, training: str, seconds: float) -> Body:
        """Wait until a training has ended, however it has."""

        def ended() -> Body | None:
            body = self.read(training)
            return body if body is not None and body["state"] not in ("queued", "running") else None

        return wait_until("the end", ended, seconds, seen=lambda: self.read(training))

    def cancel(self, training: str) -> Body:
        """Cancel a training."""
        response = self.api.delete(f"/trainings/{training}", timeout=60)
        assert response.status_code == 200, response.text
        body: Body = response.json()
        return body

    def jobs(self, training: str) -> list[Body]:
        """Return the Jobs of a training."""
        return self.release.all("jobs", f"{TRAINING}={training}")

    def pods(self, training: str) -> list[Body]:
        """Return the pods of a training, in whatever phase."""
        return self.release.all("pods", f"{TRAINING}={training}")

    def running_pod(self, training: str, index: int = 0, besides: str = "") -> str:
        """Return the pod of an index, once it runs; another one than `besides`."""

        def found() -> str | None:
            for pod in self.pods(training):
                name = str(pod["metadata"]["name"])
                is_it = pod["metadata"]["annotations"][_INDEX] == str(index)
                runs = pod["status"]["phase"] == "Running" and name != besides
                if is_it and runs and "deletionTimestamp" not in pod["metadata"]:
                    return name
            return None

        return wait_until(
            f"a pod of index {index}", found, 180, seen=lambda: self.pods(training), pause=0.2
        )

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model."""
        listed = self.api.get("/models", params={"name": name})
        return [each["version"] for each in listed.json()["models"]] if listed.is_success else []


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of MLflow, by its own API."""

    client: httpx.Client

    def tags(self, run: str) -> dict[str, str]:
        """Return the tags of a run."""
        return _tags(self._get("runs/get", run_id=run)["run"])

    def files(self, run: str, folder: str) -> list[str]:
        """Return what a folder of a run's artifacts has."""
        found = self._get("artifacts/list", run_id=run, path=folder)
        return [each["path"] for each in found.get("files", [])]

    def trials(self, training: str) -> list[dict[str, str]]:
        """Return the tags of all trials of a training, with their run's `status`."""
        listed = self._post("experiments/search", max_results=_EXPERIMENTS)["experiments"]
        found = self._post(
            "runs/search",
            experiment_ids=[each["experiment_id"] for each in listed],
            filter=f"tags.`mlflow.parentRunId` = '{training}'",
            max_results=_RUNS,
        )
        runs = found.get("runs", [])
        return [{**_tags(run), "status": run["info"]["status"]} for run in runs]

    def _get(self, route: str, **asked: str) -> Body:
        return _body(self.client.get(f"/api/2.0/mlflow/{route}", params=asked))

    def _post(self, route: str, **asked: Any) -> Body:
        return _body(self.client.post(f"/api/2.0/mlflow/{route}", json=asked))


def timed(name: str, seconds: int) -> dict[str, Any]:
    """Return a training that takes that many seconds on any machine, and a few more."""
    return {
        "name": name,
        "dataset": "digits",
        "model_type": "ExtraTreesClassifier",
        "params": {"n_estimators": 100},
        "search": {
            "space": {"max_features": {"low": 0.1, "high": 1}},
            "trials": 1000,
            "seconds": seconds,
        },
        "use": False,
    }


def network(name: str, rounds: int) -> dict[str, Any]:
    """Return a training of little memory, of 25 to 50 rounds a second on a core."""
    return {
        "name": name,
        "dataset": "digits",
        "model_type": "MLPClassifier",
        "params": {
            "hidden_layer_sizes": [300, 300],
            "max_iter": rounds,
            "n_iter_no_change": rounds,
            "tol": 0,
        },
        "use": False,
    }


@contextmanager
def open_runs(release: Cluster) -> Iterator[Runs]:
    """Reach the release's MLflow."""
    with (
        Forward(release, f"service/{release.name('mlflow')}", PORTS["mlflow"]) as forward,
        httpx.Client(
            base_url=forward.url, timeout=20, transport=httpx.HTTPTransport(retries=8)
        ) as client,
    ):
        yield Runs(client)


def rights(cluster: Cluster, account: str, namespace: str = "") -> set[str]:
    """Return what an account of a release may do in a namespace, as kubectl lists it."""
    who = f"system:serviceaccount:{cluster.namespace}:{account}"
    there = Cluster(namespace or cluster.namespace, cluster.release)
    rows = there.kubectl("auth", "can-i", "--list", f"--as={who}").splitlines()
    return {" ".join(row.split()) for row in rows[1:]}


def most_memory(cluster: Cluster, pod: str) -> int | None:
    """Return the most bytes that a pod's container has held; None where it has ended."""
    try:
        return int(cluster.exec(pod, "sh", "-c", _PEAK))
    except (CommandError, ValueError):
        return None


def _tags(run: Mapping[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in run["data"].get("tags", [])}


def _body(response: httpx.Response) -> Body:
    assert response.status_code == 200, response.text
    body: Body = response.json()
    return body


def _field(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
