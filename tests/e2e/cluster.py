"""Access to a release in a namespace by kubectl and helm, with their errors."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.waiting import wait_until

CHART = Path(__file__).parents[2] / "charts" / "mlops-desafio"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"

PORTS: Mapping[str, int] = {"api": 8000, "mlflow": 5000, "postgres": 5432, "minio": 9000}
"""Each part of a release, and the port that its pods listen on."""

STATEFUL = ("postgres", "minio")


class CommandError(AssertionError):
    """A command failed or took too long; the message contains its stderr."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as it was when it was listed."""

    name: str
    uid: str
    ip: str
    ready: bool
    ready_since: str
    restarts: int
    terminating: bool


def run(*command: str, stdin: str | None = None, seconds: float = 60) -> str:
    """Run a command; return its stdout; raise CommandError if it fails."""
    line = " ".join(command)
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{line}: not done within {seconds:g} s") from error
    if done.returncode != 0:
        said = "\n".join(
            text for text in (done.stderr.strip(), done.stdout.strip()[-3000:]) if text
        )
        raise CommandError(f"{line}: exit code {done.returncode}: {said}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Cluster:
    """One namespace of the current context, and the release in it."""

    namespace: str
    release: str

    def kubectl(self, *args: str, stdin: str | None = None, seconds: float = 60) -> str:
        """Run kubectl in the namespace."""
        return run("kubectl", "--namespace", self.namespace, *args, stdin=stdin, seconds=seconds)

    def helm(self, *args: str, stdin: str | None = None, seconds: float = 60) -> str:
        """Run helm in the namespace."""
        return run("helm", "--namespace", self.namespace, *args, stdin=stdin, seconds=seconds)

    def upgrade(self, sets: str) -> None:
        """Upgrade the release with these values changed, and wait until it is ready."""
        self.helm(
            *("upgrade", self.release, str(CHART), "--reset-then-reuse-values", "--set", sets),
            *("--wait", "--timeout", "5m"),
            seconds=330,
        )

    def name(self, part: str) -> str:
        """Return the name of a part's resources."""
        return f"{self.release}-{part}"

    def workload(self, part: str) -> str:
        """Return the workload that creates a part's pods, in kubectl's notation."""
        kind = "statefulset" if part in STATEFUL else "deployment"
        return f"{kind}/{self.name(part)}"

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return one resource."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "--output", "json"))
        return found

    def all(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Return all resources of a kind, or those that match a selector."""
        text = self.kubectl("get", kind, "--selector", selector, "--output", "json")
        items: list[dict[str, Any]] = json.loads(text)["items"]
        return items

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Create or change resources."""
        for manifest in manifests:
            self.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))

    def selector(self, part: str) -> str:
        """Return the label selector of a part's pods."""
        labels = {"instance": self.release, "component": part}
        return ",".join(f"app.kubernetes.io/{key}={value}" for key, value in labels.items())

    def pods(self, part: str) -> list[Pod]:
        """Return a part's pods, including those that are terminating."""
        return [_pod(item) for item in self.all("pods", self.selector(part))]

    def ready_pods(self, part: str) -> list[Pod]:
        """Return a part's pods that are ready and not terminating."""
        return [pod for pod in self.pods(part) if pod.ready and not pod.terminating]

    def exec(self, pod: str, *command: str, seconds: float = 30) -> str:
        """Run a command in a pod's first container."""
        return self.kubectl("exec", pod, "--", *command, seconds=seconds)

    def delete_pod(self, pod: str, *, at_once: bool = False) -> None:
        """Delete a pod; `at once` skips the grace period."""
        force = ("--force", "--grace-period=0") if at_once else ()
        self.kubectl("delete", "pod", pod, "--wait=false", *force)

    def scale(self, part: str, replicas: int) -> None:
        """Set the number of a part's pods."""
        self.kubectl("scale", self.workload(part), f"--replicas={replicas}")

    def restart(self, part: str) -> None:
        """Begin to replace a part's pods, one after another."""
        self.kubectl("rollout", "restart", self.workload(part))

    def wait_rolled_out(self, part: str, seconds: float = 180) -> None:
        """Wait until a part's pods are exactly those that its workload specifies, all ready."""
        limit = f"--timeout={seconds:g}s"
        self.kubectl("rollout", "status", self.workload(part), limit, seconds=seconds + 10)
        wait_until(
            f"only {part} pods that stay",
            lambda: not any(pod.terminating for pod in self.pods(part)),
            seconds,
            seen=lambda: self.pods(part),
        )

    @contextmanager
    def without(self, part: str) -> Iterator[None]:
        """Remove all pods of a part while the block runs; then restore them and wait for them."""
        before = int(self.get(*self.workload(part).split("/"))["spec"]["replicas"])
        try:
            self.scale(part, 0)
            wait_until(f"no {part} pods", lambda: not self.pods(part), 60)
            yield
        finally:
            self.scale(part, before)
            self.wait_rolled_out(part)

    def values(self) -> dict[str, Any]:
        """Return the values with which the release was installed."""
        given = json.loads(self.helm("get", "values", self.release, "--output", "json"))
        return given or {}

    def small_values(self) -> dict[str, Any]:
        """Return values for another release that fits beside this one, with one API pod."""
        values = self.values()
        for part in PORTS:
            resources = values.setdefault(part, {}).setdefault("resources", {})
            resources["requests"] = {"cpu": "10m", "memory": "64Mi"}
        values["api"]["replicas"] = 1
        values.pop("monitoring", None)
        return values

    def bring(self, verb: str, values: Mapping[str, Any], seconds: float = 300) -> None:
        """Run `helm install` or `helm upgrade` of the chart, and wait until everything is ready."""
        self.helm(
            *(verb, self.release, str(CHART), "--values", "-"),
            *("--wait", f"--timeout={seconds:g}s"),
            stdin=json.dumps(values),
            seconds=seconds + 30,
        )

    def secret(self, part: str) -> dict[str, str]:
        """Return the data of a part's Secret, still encoded."""
        data: dict[str, str] = self.get("secret", self.name(part))["data"]
        return data

    def image(self) -> str:
        """Return the name of the product's image in the API's pods."""
        spec = self.get("deployment", self.name("api"))["spec"]["template"]["spec"]
        return str(spec["containers"][0]["image"])

    def ask_pod(self, pod: str, path: str) -> dict[str, Any]:
        """Send a GET to the service in one pod through the Kubernetes API server."""
        place = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:{PORTS['api']}/proxy{path}"
        answer: dict[str, Any] = json.loads(self.kubectl("get", "--raw", place))
        return answer

    def served(self) -> set[tuple[str, int, int]]:
        """Return the model, version and epoch of every ready API pod."""
        schemas = [self.ask_pod(pod.name, "/schema") for pod in self.ready_pods("api")]
        return {(each["model"], each["version"], each["epoch"]) for each in schemas}

    def wait_served(self, name: str, version: int, seconds: float = 15) -> None:
        """Wait until every replica answers from a version."""
        wait_until(
            f"{name} version {version} in every replica",
            lambda: {each[:2] for each in self.served()} == {(name, version)},
            seconds,
            seen=self.served,
        )

    def create_namespace(self) -> None:
        """Create the restricted namespace; delete one that an earlier run left first."""
        self.delete_namespace()
        run("kubectl", "create", "namespace", self.namespace)
        run("kubectl", "label", "namespace", self.namespace, RESTRICTED)

    def delete_namespace(self) -> None:
        """Delete the namespace with everything in it, including volumes."""
        run(
            *("kubectl", "delete", "namespace", self.namespace),
            *("--ignore-not-found", "--timeout=120s"),
            seconds=130,
        )


def _pod(item: Mapping[str, Any]) -> Pod:
    status = item["status"]
    conditions: Sequence[Mapping[str, str]] = status.get("conditions", [])
    ready = next((each for each in conditions if each["type"] == "Ready"), {})
    containers = [
        *status.get("containerStatuses", []),
        *status.get("initContainerStatuses", []),
    ]
    return Pod(
        name=item["metadata"]["name"],
        uid=item["metadata"]["uid"],
        ip=status.get("podIP", ""),
        ready=ready.get("status") == "True",
        ready_since=ready.get("lastTransitionTime", ""),
        restarts=sum(int(each["restartCount"]) for each in containers),
        terminating="deletionTimestamp" in item["metadata"],
    )


def deployed() -> Cluster:
    """Return the release under test; raise CommandError if there is none."""
    release = os.environ.get("E2E_RELEASE", "desafio")
    cluster = Cluster(os.environ.get("E2E_NAMESPACE", release), release)
    try:
        state = json.loads(cluster.helm("status", release, "--output", "json"))["info"]["status"]
        waiting = [part for part in PORTS if not cluster.ready_pods(part)]
    except (CommandError, OSError) as error:
        raise CommandError(
            f"There is no release {release} in namespace {cluster.namespace} to test "
            f"(make deploy installs one): {error}"
        ) from error
    if state != "deployed" or waiting:
        raise CommandError(
            f"Release {release} in namespace {cluster.namespace} is {state}, and not ready are: "
            f"{', '.join(waiting) or 'none'}."
        )
    return cluster
