"""Which pods of a release may connect to which, derived from the rendered network policies."""

from itertools import product

from tests.support.chart import RELEASE, needs_helm, of_kind, pods, render
from tests.support.network_policies import PORTS, allowed, labels_of, policies_of, selects

pytestmark = needs_helm

EDGES = {
    ("api", "api"),
    ("api", "mlflow"),
    ("mlflow", "postgres"),
    ("mlflow", "minio"),
    ("prometheus", "api"),
    ("grafana", "prometheus"),
    ("test", "api"),
    ("test", "mlflow"),
    # Only the Helm tests that check the stores connect to them, and only while they run.
    ("test-postgres", "postgres"),
    ("test-minio", "minio"),
}
EVERYTHING = "monitoring.standalone=true"


def test_the_edges_are_exactly_those_that_the_parts_need() -> None:
    policies = policies_of(render(EVERYTHING))
    parts = [*PORTS, "test", "test-postgres", "test-minio"]

    found = {
        (one, other)
        for one, other in product(parts, PORTS)
        if allowed(policies, "Egress", labels_of(one), labels_of(other), PORTS[other])
        and allowed(policies, "Ingress", labels_of(other), labels_of(one), PORTS[other])
    }

    assert found == EDGES


def test_a_stranger_reaches_the_api_alone() -> None:
    policies = policies_of(render(EVERYTHING))
    stranger = {"app": "stranger"}

    reached = {
        part
        for part, port in PORTS.items()
        if allowed(policies, "Ingress", labels_of(part), stranger, port)
    }

    assert reached == {"api"}


def test_clients_can_be_narrowed_without_losing_the_parts() -> None:
    namespace = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}
    policies = policies_of(render(EVERYTHING, values={"networkPolicy": {"clients": [namespace]}}))
    api = labels_of("api")

    assert not allowed(policies, "Ingress", api, {"app": "stranger"}, 8000)
    for part in ("api", "prometheus", "test"):
        assert allowed(policies, "Ingress", api, labels_of(part), 8000)
    sources = [peer for policy in policies for rule in policy.get("ingress", [])
               for peer in rule.get("from", [])]  # fmt: skip
    assert namespace in sources


def test_nobody_reaches_the_internet() -> None:
    for policy in policies_of(render(EVERYTHING)):
        for rule in policy.get("egress", []):
            assert rule["to"], "an egress rule without peers allows everything"
            assert not any("ipBlock" in peer for peer in rule["to"])


def test_everything_may_ask_for_names_and_only_at_the_clusters_dns() -> None:
    (everyone,) = [
        policy
        for policy in policies_of(render())
        if "app.kubernetes.io/component" not in policy["podSelector"]["matchLabels"]
    ]

    (rule,) = everyone["egress"]
    assert {entry["port"] for entry in rule["ports"]} == {53}
    assert all(peer["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"} for peer in rule["to"])


def test_every_pod_is_covered() -> None:
    resources = render(EVERYTHING)
    policies = policies_of(resources)

    for name, _ in pods(resources):
        part = name.removeprefix(f"{RELEASE}-")
        for way in ("Ingress", "Egress"):
            assert any(
                way in policy["policyTypes"] and selects(policy["podSelector"], labels_of(part))
                for policy in policies
            )


def test_policies_can_be_switched_off() -> None:
    assert of_kind(render(EVERYTHING, "networkPolicy.enabled=false"), "NetworkPolicy") == {}
