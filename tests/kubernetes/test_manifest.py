"""The Job of a training: the chart's template, with what is of this training alone."""

from pathlib import Path
from typing import Any

import pytest

from service.common.errors import StartError
from service.kubernetes.manifest import JobTemplate
from tests.support.cluster import NAME, TEMPLATE, template

TRAINING = "0123456789abcdef" * 2


def test_a_job_is_the_template_with_the_name_labels_owner_and_arguments_of_its_training(
    tmp_path: Path,
) -> None:
    job = template(tmp_path).job_of(TRAINING, 1, "the-uid")

    labels = {"app": "desafio", "mlops-desafio/training": TRAINING, "mlops-desafio/of": NAME}
    assert job["metadata"] == {
        "name": "desafio-training-0123456789ab",
        "labels": labels,
        "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "Job", "name": NAME, "uid": "the-uid"}
        ],
    }
    spec = job["spec"]
    assert spec["template"]["metadata"]["labels"] == labels
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 1, 1)
    assert spec["backoffLimit"] == 1
    container = spec["template"]["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", "service.pod"]
    assert container["args"] == [TRAINING, "$(JOB_COMPLETION_INDEX)", "1"]


def test_a_pod_of_several_fails_for_itself(tmp_path: Path) -> None:
    spec = template(tmp_path).job_of(TRAINING, 3, "the-uid")["spec"]

    assert (spec["completions"], spec["parallelism"]) == (3, 3)
    assert spec["backoffLimitPerIndex"] == 1
    assert "backoffLimit" not in spec
    actions = [rule["action"] for rule in spec["podFailurePolicy"]["rules"]]
    assert actions == ["Count", "FailIndex"]


def test_the_template_stays_as_it_is(tmp_path: Path) -> None:
    made = template(tmp_path)
    first = made.job_of(TRAINING, 3, "the-uid")

    assert made.job_of(TRAINING, 3, "the-uid") == first
    assert made.job_of("f" * 32, 1, None)["spec"]["backoffLimit"] == 1
    assert "ownerReferences" not in made.job_of("f" * 32, 1, None)["metadata"]


def test_the_longest_name_leaves_room_for_the_index_of_a_pod(tmp_path: Path) -> None:
    named = template(tmp_path, metadata={"name": "a" * 47 + "-" + "b" * 40})

    name = named.name_of(TRAINING)

    assert name == "a" * 47 + "-0123456789ab"
    assert len(f"{name}-9") <= 63


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"metadata": {"name": "n"}, "spec": {"template": {"spec": {"containers": []}}}}',
    ],
)
def test_a_template_that_is_no_job_is_refused_with_its_path(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(text)

    with pytest.raises(StartError, match=f"SERVICE_JOB_TEMPLATE, {path}, "):
        JobTemplate(path)


@pytest.mark.parametrize(
    ("limits", "expected"), [({"memory": "8Gi"}, 8 * 2**30), ({"memory": 10**9}, 10**9), ({}, None)]
)
def test_the_memory_of_a_pod_is_that_of_its_container(
    tmp_path: Path, limits: dict[str, object], expected: int | None
) -> None:
    container = {"name": "training", "resources": {"limits": limits}}
    spec = {**TEMPLATE["spec"], "template": {"spec": {"containers": [container]}}}

    assert template(tmp_path, spec=spec).memory_bytes == expected


def test_a_template_without_the_container_is_refused(tmp_path: Path) -> None:
    spec: dict[str, Any] = {
        **TEMPLATE["spec"],
        "template": {"spec": {"containers": [{"name": "x"}]}},
    }

    with pytest.raises(StartError, match="has no container `training`"):
        template(tmp_path, spec=spec)


def test_a_template_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file"):
        JobTemplate(tmp_path / "none.json")
