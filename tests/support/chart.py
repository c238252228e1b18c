"""The chart as Helm renders it, for tests of its resources."""

import json
import shutil
import subprocess
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "charts" / "mlops-desafio"

RELEASE = "desafio"

NAMESPACE = "desafio-test"

Resource = dict[str, Any]

needs_helm = pytest.mark.skipif(
    shutil.which("helm") is None, reason="The chart is not tested: there is no helm on PATH."
)


class _Loader(yaml.CSafeLoader):
    """Refuses duplicate keys, of which YAML readers otherwise silently keep one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"given twice{node.start_mark}: {twice}"
        return super().construct_mapping(node, deep=deep)


def render(
    *sets: str, values: Mapping[str, Any] | None = None, release: str = RELEASE
) -> list[Resource]:
    """Return the resources that Helm renders; `sets` are values for `helm template --set`."""
    ran = _template(sets, json.dumps(values or {}), release)
    assert ran.returncode == 0, ran.stderr
    return [found for found in yaml.load_all(ran.stdout, _Loader) if found]


def refusal(*sets: str, values: Mapping[str, Any] | None = None, release: str = RELEASE) -> str:
    """Return Helm's error message for values that it refuses to render."""
    ran = _template(sets, json.dumps(values or {}), release)
    assert ran.returncode != 0, f"rendered, although refused was expected: {sets} {values}"
    return ran.stderr


def of_kind(resources: Iterable[Resource], kind: str) -> dict[str, Resource]:
    """Return the resources of one kind by name; names must be unique."""
    found = [resource for resource in resources if resource["kind"] == kind]
    named = {resource["metadata"]["name"]: resource for resource in found}
    assert len(named) == len(found), f"two of kind {kind} have one name: {sorted(named)}"
    return named


@cache
def _template(sets: tuple[str, ...], values: str, release: str) -> subprocess.CompletedProcess[str]:
    command = ["helm", "template", release, str(CHART), "--namespace", NAMESPACE, "--values", "-"]
    for assignment in sets:
        command += ["--set", assignment]
    return subprocess.run(
        command, input=values, capture_output=True, text=True, timeout=60, check=False
    )


def pods(resources: list[Resource]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the spec of each pod by the name of the workload that creates it."""
    for resource in resources:
        if resource["kind"] == "Pod":
            yield resource["metadata"]["name"], resource["spec"]
        elif resource["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield resource["metadata"]["name"], resource["spec"]["template"]["spec"]


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the containers of a pod, those that prepare it first."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(container: dict[str, Any]) -> dict[str, Any]:
    """Return a container's variables by name, each as its value or where that comes from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def assert_restricted(spec: dict[str, Any], name: str) -> None:
    """Fail unless a pod fits Pod Security `restricted` and its root file system is read-only."""
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True, name
    assert security["runAsUser"] > 0, name
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
    for container in containers(spec):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
    volumes = spec.get("volumes", [])
    kinds = {next(kind for kind in volume if kind != "name") for volume in volumes}
    assert kinds <= {"emptyDir", "configMap", "secret"}, name
