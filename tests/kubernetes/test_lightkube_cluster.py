"""The cluster by lightkube: what is asked of the API server, and how its answers are read."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from lightkube import Client
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster, User

from service.common.errors import StartError
from service.kubernetes.cluster import (
    ClusterUnavailable,
    JobExists,
    JobRefused,
    JobStatus,
    PodStatus,
)
from service.kubernetes.lightkube_cluster import LightkubeCluster
from tests.support.cluster import TEMPLATE

JOBS = "/apis/batch/v1/namespaces/ns/jobs"
PODS = "/api/v1/namespaces/ns/pods"
AT = "2026-11-29T12:00:00Z"


class ApiServer:
    """Answers each path as a test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[httpx2.Request] = []
        self.error: httpx2.HTTPError | None = None
        config = KubeConfig.from_one(
            cluster=Cluster(server="http://127.0.0.1:1"),
            user=User(token="a token"),
            context_name="here",
            namespace="ns",
        )
        transport = httpx2.MockTransport(self._answer)
        self.cluster = LightkubeCluster(Client(config, transport=transport))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        code, body = self.answers[request.url.path]
        if isinstance(body, str):
            return httpx2.Response(code, text=body)
        return httpx2.Response(code, json=body)

    def refuse(self, path: str, code: int, reason: str, message: str) -> None:
        status = {"kind": "Status", "code": code, "reason": reason, "message": message}
        self.answers[path] = code, {"apiVersion": "v1", "metadata": {}, **status}


def job(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "labels": {"a": "b"}, "uid": "u", "creationTimestamp": AT},
        "spec": {"parallelism": 2, "template": {"spec": {"containers": []}}},
        "status": status,
    }


def pod(phase: str, *containers: Any, **status: Any) -> dict[str, Any]:
    statuses = [
        {"name": "training", "image": "i", "imageID": "", "ready": False, "restartCount": 0, **one}
        for one in containers
    ]
    return {
        "metadata": {"name": "p", "creationTimestamp": AT},
        "spec": {"containers": []},
        "status": {"phase": phase, "containerStatuses": statuses, **status},
    }


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


def test_a_job_is_created_as_it_is(server: ApiServer) -> None:
    server.answers[JOBS] = 201, job()

    server.cluster.create_job(TEMPLATE)

    sent = json.loads(server.asked[0].content)
    assert sent == TEMPLATE


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (409, "AlreadyExists", JobExists),
        (403, "Forbidden", JobRefused),
        (422, "Invalid", JobRefused),
        (500, "InternalError", ClusterUnavailable),
        (429, "TooManyRequests", ClusterUnavailable),
        (401, "Unauthorized", ClusterUnavailable),
    ],
)
def test_a_job_that_is_not_created_says_why(
    server: ApiServer, code: int, reason: str, error: type[Exception]
) -> None:
    server.refuse(JOBS, code, reason, "exceeded quota: q")

    with pytest.raises(error):
        server.cluster.create_job(TEMPLATE)


@pytest.mark.parametrize(
    ("status", "ended", "reason"),
    [
        ({}, "", ""),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, "complete", ""),
        ({"conditions": [{"type": "Complete", "status": "False"}]}, "", ""),
        (
            {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]},
            "failed",
            "DeadlineExceeded",
        ),
        ({"conditions": [{"type": "FailureTarget", "status": "True", "reason": "x"}]}, "", ""),
    ],
)
def test_a_job_is_read(server: ApiServer, status: Any, ended: Any, reason: str) -> None:
    server.answers[f"{JOBS}/j"] = 200, job(**status)

    found = server.cluster.find_job("j")

    assert found == JobStatus(
        name="j",
        labels={"a": "b"},
        uid="u",
        created=found.created if found else "",
        parallelism=2,
        ended=ended,
        reason=reason,
    )


def test_what_is_not_there_is_none(server: ApiServer) -> None:
    server.refuse(f"{JOBS}/j", 404, "NotFound", "no such job")
    server.refuse(f"{PODS}/p/log", 404, "NotFound", "no such pod")

    assert server.cluster.find_job("j") is None
    server.cluster.delete_job("j")
    assert server.cluster.log_of("p", 3) == ""


def test_jobs_are_listed_by_label(server: ApiServer) -> None:
    server.answers[JOBS] = 200, {"metadata": {}, "items": [job()]}

    assert [one.name for one in server.cluster.list_jobs("a", "b")] == ["j"]
    server.cluster.list_jobs("a")

    assert [request.url.params["labelSelector"] for request in server.asked] == ["a=b", "a"]


def test_a_job_is_deleted_with_its_pods(server: ApiServer) -> None:
    server.answers[f"{JOBS}/j"] = 200, job()

    server.cluster.delete_job("j")

    assert server.asked[0].method == "DELETE"
    options = dict(server.asked[0].url.params) | json.loads(server.asked[0].content or b"{}")
    assert options["propagationPolicy"] == "Background"


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        (pod("Running", {"state": {"running": {"startedAt": AT}}}), PodStatus("p", "Running")),
        (
            pod("Pending", {"state": {"waiting": {"reason": "ContainerCreating"}}}),
            PodStatus("p", "Pending"),
        ),
        (
            pod("Pending", {"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}),
            PodStatus("p", "Pending", waiting="ErrImagePull: no"),
        ),
        (
            pod(
                "Pending",
                conditions=[{"type": "PodScheduled", "status": "False", "message": "no node"}],
            ),
            PodStatus("p", "Pending", waiting="no node"),
        ),
        (
            pod(
                "Failed",
                {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
            ),
            PodStatus("p", "Failed", exit_code=137, ended_by="OOMKilled"),
        ),
        (
            pod("Failed", reason="Evicted", message="low on memory"),
            PodStatus("p", "Failed", reason="Evicted", message="low on memory"),
        ),
    ],
)
def test_a_pod_is_read(server: ApiServer, shown: Any, read: PodStatus) -> None:
    server.answers[PODS] = 200, {"metadata": {}, "items": [shown]}

    (found,) = server.cluster.pods_of("j")

    assert found == PodStatus(
        **{key: getattr(read, key) for key in read.__slots__ if key != "created"},
        created=found.created,
    )
    selector = server.asked[0].url.params["labelSelector"]
    assert selector == "batch.kubernetes.io/job-name=j"


def test_warnings_about_a_job_are_read_in_their_order(server: ApiServer) -> None:
    events = [
        {
            "metadata": {"name": f"e{at}"},
            "involvedObject": {},
            "message": message,
            "lastTimestamp": f"2026-11-29T12:00:0{at}Z",
        }
        for at, message in ((2, "the last"), (1, "the first"))
    ]
    server.answers["/api/v1/namespaces/ns/events"] = 200, {"metadata": {}, "items": events}

    assert server.cluster.warnings_of("j") == ["the first", "the last"]
    selector = server.asked[0].url.params["fieldSelector"].split(",")
    assert set(selector) == {
        "involvedObject.kind=Job",
        "involvedObject.name=j",
        "type=Warning",
    }


def test_the_end_of_a_log_is_read(server: ApiServer) -> None:
    server.answers[f"{PODS}/p/log"] = 200, "one\ntwo\n"

    assert server.cluster.log_of("p", 2) == "one\ntwo\n"
    assert server.asked[0].url.params["tailLines"] == "2"


@pytest.mark.parametrize(
    "ask",
    [
        lambda cluster: cluster.create_job(TEMPLATE),
        lambda cluster: cluster.find_job("j"),
        lambda cluster: cluster.list_jobs("a"),
        lambda cluster: cluster.delete_job("j"),
        lambda cluster: cluster.pods_of("j"),
        lambda cluster: cluster.warnings_of("j"),
        lambda cluster: cluster.log_of("p", 1),
    ],
)
def test_an_api_server_that_is_silent_is_unavailable(
    server: ApiServer, ask: Callable[[LightkubeCluster], object]
) -> None:
    server.error = httpx2.ConnectError("refused")

    with pytest.raises(ClusterUnavailable, match="refused"):
        ask(server.cluster)


def test_outside_of_a_pod_there_is_no_cluster() -> None:
    with pytest.raises(StartError, match="works in a pod whose account's token is mounted"):
        LightkubeCluster.of_pod()
