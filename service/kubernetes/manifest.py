"""The Job of a training, made from the template that the chart writes."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from lightkube.utils.quantity import parse_quantity

from service.common.errors import StartError

TRAINING = "mlops-desafio/training"
"""Label of a Job and its pods: the id of the training."""
OF = "mlops-desafio/of"
"""Label of a Job and its pods: the name of the template, which is that of one release."""
CONTAINER = "training"

_LONGEST_NAME = 48
"""Of the template's name, so that with a part of an id and a pod's index 63 characters suffice."""
_ID_CHARACTERS = 12


class JobTemplate:
    """The template of all Jobs of this release, and the Job that owns them."""

    def __init__(self, path: Path) -> None:
        """Read it; raises StartError where it is no Job with a container `training`."""
        try:
            self._template: dict[str, Any] = orjson.loads(path.read_bytes())
            self.name: str = self._template["metadata"]["name"]
            spec = self._template["spec"]["template"]["spec"]
            self.seconds = float(self._template["spec"]["activeDeadlineSeconds"])
            """How long a Job may take, with the time that its pods wait."""
            containers = {container["name"]: container for container in spec["containers"]}
            if CONTAINER not in containers:
                raise LookupError(f"it has no container `{CONTAINER}`")
            memory = containers[CONTAINER].get("resources", {}).get("limits", {}).get("memory")
            self.memory_bytes = None if memory is None else int(parse_quantity(str(memory)) or 0)
            """How much memory a pod may take; None: there is no limit."""
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise StartError(f"SERVICE_JOB_TEMPLATE, {path}, is no Job: {error}.") from error

    def name_of(self, training: str) -> str:
        """Return the name of the Job of a training."""
        return f"{self.name[:_LONGEST_NAME].rstrip('-')}-{training[:_ID_CHARACTERS]}"

    def job_of(self, training: str, pods: int, owner: str | None) -> dict[str, Any]:
        """Return the Job of a training, with that many pods at one time.

        `owner`: the uid of the Job that is called as the template, with which this one is removed.
        """
        job = copy.deepcopy(self._template)
        labels = {TRAINING: training, OF: self.name[:63]}
        spec, metadata = job["spec"], job["metadata"]
        metadata["name"] = self.name_of(training)
        _add(metadata, labels)
        _add(spec["template"].setdefault("metadata", {}), labels)
        if owner:
            metadata["ownerReferences"] = [
                {"apiVersion": "batch/v1", "kind": "Job", "name": self.name, "uid": owner}
            ]
        spec |= {"completionMode": "Indexed", "completions": pods, "parallelism": pods}
        if pods > 1:
            _tell_pods_apart(spec)
        container = next(
            one for one in spec["template"]["spec"]["containers"] if one["name"] == CONTAINER
        )
        # Kubernetes fills the index in.
        container["args"] = [training, "$(JOB_COMPLETION_INDEX)", str(pods)]
        return job


def _add(metadata: dict[str, Any], labels: Mapping[str, str]) -> None:
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}


def _tell_pods_apart(spec: dict[str, Any]) -> None:
    """Have each pod of a search fail for itself: it costs a trial, and not the search."""
    spec["backoffLimitPerIndex"] = spec.pop("backoffLimit", 1)
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        if rule["action"] == "FailJob":
            rule["action"] = "FailIndex"
