"""gRPC in the chart: nothing of it by default, and all that it takes by one value."""

from typing import Any

import pytest

from tests.support.chart import RELEASE, needs_helm, of_kind, pods, refusal, render
from tests.support.network_policies import allowed, labels_of, policies_of

pytestmark = needs_helm

GRPC = "api.grpc.enabled=true"
NAMESPACE = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}


def api_ports(*sets: str) -> tuple[list[Any], list[Any], str | None]:
    """Return the ports of the Service and of the container, and what the service is told."""
    resources = render(*sets)
    service = of_kind(resources, "Service")[f"{RELEASE}-api"]["spec"]["ports"]
    container = dict(pods(resources))[f"{RELEASE}-api"]["containers"][0]["ports"]
    config = of_kind(resources, "ConfigMap")[f"{RELEASE}-api"]["data"]
    return service, container, config.get("SERVICE_GRPC_PORT")


def test_there_is_no_grpc_by_default() -> None:
    service, container, told = api_ports()

    assert [port["name"] for port in service] == [port["name"] for port in container] == ["http"]
    assert told is None

    def lasting(*sets: str) -> list[Any]:
        return [one for one in render(*sets) if one["kind"] != "Secret"]  # whose keys are random

    assert lasting() == lasting("api.grpc.port=9000") != lasting(GRPC)


def test_one_value_opens_the_port_of_pods_and_service_as_http_2() -> None:
    service, container, told = api_ports(GRPC)

    assert service[1] == {
        "name": "grpc",
        "port": 8081,
        "targetPort": "grpc",
        "appProtocol": "kubernetes.io/h2c",
    }
    assert container[1] == {"name": "grpc", "containerPort": 8081}
    assert told == "8081"


def test_the_port_can_be_chosen() -> None:
    service, container, told = api_ports(GRPC, "api.grpc.port=9000")

    assert (service[1]["port"], container[1]["containerPort"], told) == (9000, 9000, "9000")


def test_a_change_of_it_rolls_the_pods() -> None:
    def annotations(*sets: str) -> dict[str, str]:
        pod = of_kind(render(*sets), "Deployment")[f"{RELEASE}-api"]["spec"]["template"]
        found: dict[str, str] = pod["metadata"]["annotations"]
        return found

    assert annotations() != annotations(GRPC) != annotations(GRPC, "api.grpc.port=9000")


def test_the_policy_lets_in_whom_it_lets_in_for_http_and_nobody_without_grpc() -> None:
    api, stranger = labels_of("api"), {"app": "stranger"}
    narrow = {"networkPolicy": {"clients": [NAMESPACE]}}

    assert not allowed(policies_of(render()), "Ingress", api, stranger, 8081)
    assert allowed(policies_of(render(GRPC)), "Ingress", api, stranger, 8081)
    narrowed = policies_of(render(GRPC, values=narrow))
    assert not allowed(narrowed, "Ingress", api, stranger, 8081)
    rule = next(
        rule
        for policy in narrowed
        for rule in policy.get("ingress", [])
        if any(entry["port"] == 8081 for entry in rule["ports"])
    )
    assert NAMESPACE in rule["from"]
    assert {entry["port"] for entry in rule["ports"]} == {8000, 8081}


def test_no_other_part_is_opened_by_it() -> None:
    plain, with_grpc = policies_of(render()), policies_of(render(GRPC))

    changed = [policy for policy in with_grpc if policy not in plain]
    assert [policy["policyTypes"] for policy in changed] == [["Ingress"]]


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (("api.grpc.port=8000",), "where the pods serve HTTP; choose another one."),
        (("api.service.port=8081",), "where the Service has HTTP; choose another one."),
        (("api.grpc.port=80",), "/api/grpc/port"),
        (("api.grpc.prot=8082",), "prot"),
        (("api.settings.grpcPort=8081",), "grpcPort"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(sets: tuple[str, ...], sentence: str) -> None:
    assert sentence in refusal(GRPC, *sets)
