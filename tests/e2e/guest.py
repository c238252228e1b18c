"""Restricted, short-lived pods of the tests, made from the product's image."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.e2e.cluster import Cluster, CommandError
from tests.e2e.waiting import wait_until

USER = 10001


def guest(
    name: str,
    image: str,
    command: Sequence[str],
    seconds: int,
    *,
    labels: Mapping[str, str] | None = None,
    scripts: str = "",
    paths: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the manifest of a pod that runs a command once, with a time limit in seconds.

    `scripts` names a ConfigMap that is mounted at /scripts; `paths` are its keys' places there.
    """
    container: dict[str, Any] = {
        "name": "guest",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": seconds,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if scripts:
        container["volumeMounts"] = [{"name": "scripts", "mountPath": "/scripts"}]
        source: dict[str, Any] = {"name": scripts}
        if paths is not None:
            source["items"] = [{"key": key, "path": path} for key, path in paths.items()]
        spec["volumes"] = [{"name": "scripts", "configMap": source}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": spec,
    }


def start_guest(cluster: Cluster, manifest: Mapping[str, Any], seconds: float = 60) -> str:
    """Start a guest; return its name once it runs (or has run)."""
    name = str(manifest["metadata"]["name"])
    cluster.kubectl("create", "--filename", "-", stdin=json.dumps(manifest))
    wait_until(
        f"pod {name} runs",
        lambda: phase(cluster, name) in {"Running", "Succeeded", "Failed"},
        seconds,
        seen=lambda: cluster.kubectl("describe", "pod", name)[-2000:],
    )
    return name


def phase(cluster: Cluster, name: str) -> str:
    """Return a pod's phase."""
    return str(cluster.get("pod", name)["status"].get("phase", ""))


def logs(cluster: Cluster, name: str) -> str:
    """Return the log of a guest so far."""
    try:
        return cluster.kubectl("logs", name)
    except CommandError as error:
        return str(error)
