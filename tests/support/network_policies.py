"""The connections that a chart's network policies allow."""

from typing import Any

from tests.support.chart import RELEASE, Resource, of_kind

PORTS = {
    "api": 8000,
    "mlflow": 5000,
    "postgres": 5432,
    "minio": 9000,
    "prometheus": 9090,
    "grafana": 3000,
}


def labels_of(part: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "mlops-desafio",
        "app.kubernetes.io/instance": RELEASE,
        "app.kubernetes.io/component": part,
    }


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def allowed(
    policies: list[dict[str, Any]], way: str, pod: dict[str, str], other: dict[str, str], port: int
) -> bool:
    """Return whether the rules of `pod` in one direction allow a connection with another pod."""
    peers, rules = ("from", "ingress") if way == "Ingress" else ("to", "egress")
    covering = [
        policy
        for policy in policies
        if way in policy["policyTypes"] and selects(policy["podSelector"], pod)
    ]
    assert covering, f"nothing denies {way} of {pod}"
    return any(
        ("ports" not in rule or any(entry["port"] == port for entry in rule["ports"]))
        and (
            peers not in rule
            or any(
                "namespaceSelector" not in peer and selects(peer.get("podSelector", {}), other)
                for peer in rule[peers]
            )
        )
        for policy in covering
        for rule in policy.get(rules, [])
    )


def policies_of(resources: list[Resource]) -> list[dict[str, Any]]:
    return [policy["spec"] for policy in of_kind(resources, "NetworkPolicy").values()]
