"""Pods can open exactly the connections that the release needs, tried from inside."""

import json
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.cluster import PORTS, Cluster
from tests.e2e.conftest import Note
from tests.e2e.guest import guest, start_guest
from tests.e2e.waiting import wait_until

EDGES = {
    ("api", "api"),
    ("api", "mlflow"),
    ("mlflow", "postgres"),
    ("mlflow", "minio"),
    ("stranger", "api"),
    ("neighbour", "api"),
    ("impostor", "api"),
}
"""Everything else is refused. See `guests` for the stranger, neighbour and impostor."""

OUTSIDE: Mapping[str, tuple[str, int]] = {
    "API server": ("kubernetes.default.svc", 443),
    "metadata": ("169.254.169.254", 80),
    "internet": ("1.1.1.1", 443),
}
"""Pods can always reach their own node, as NetworkPolicies do not cover it."""

GUESTS = ("stranger", "neighbour", "impostor")
STRAY_PORTS = (22, 80, 8080, 9001)

# Every image has bash and timeout; dropped connections give 124, refused ones 1.
KNOCK = """
for place in "$@"; do
  (timeout 2 bash -c "exec 3<>/dev/tcp/${place%:*}/${place##*:}" 2>/dev/null \
    && echo "$place open" || echo "$place shut") &
done
wait
"""


def knock(cluster: Cluster, pod: str, places: Mapping[str, tuple[str, int]]) -> set[str]:
    """Return the names of the targets that accept a TCP connection from a pod."""
    asked = [f"{host}:{port}" for host, port in places.values()]
    said = cluster.exec(pod, "bash", "-c", KNOCK, "knock", *asked, seconds=60)
    found = dict(line.split() for line in said.splitlines())
    assert set(found) == set(asked), said
    return {name for name, (host, port) in places.items() if found[f"{host}:{port}"] == "open"}


@pytest.fixture(scope="module")
def addresses(release: Cluster) -> dict[str, tuple[str, int]]:
    """Return the address and port of a pod of each part; for the API, of the last one."""
    return {part: (release.ready_pods(part)[-1].ip, port) for part, port in PORTS.items()}


@pytest.fixture(scope="module")
def outer(release: Cluster) -> dict[str, tuple[str, int]]:
    """Return targets outside the pods' network."""
    # Pods may use DNS, but this target is reached by address.
    service = json.loads(
        release.kubectl("get", "service", "kubernetes", "--namespace", "default", "-o", "json")
    )
    known = {"kubernetes.default.svc": service["spec"]["clusterIP"]}
    return {name: (known.get(host, host), port) for name, (host, port) in OUTSIDE.items()}


@pytest.fixture(scope="module")
def guests(release: Cluster, outside: Cluster) -> Iterator[dict[str, tuple[Cluster, str]]]:
    """Create pods that do not belong to the release.

    A stranger in another namespace, an impostor there with MLflow's labels, and a neighbour in
    the release's own namespace.
    """
    kept = ("sleep", "240")
    image = release.image()
    labels = {
        "app.kubernetes.io/name": "mlops-desafio",
        "app.kubernetes.io/instance": release.release,
        "app.kubernetes.io/component": "mlflow",
    }
    places = {"stranger": outside, "impostor": outside, "neighbour": release}
    for name, cluster in places.items():
        worn = labels if name == "impostor" else {}
        start_guest(cluster, guest(name, image, kept, 240, labels=worn))
    yield {name: (cluster, name) for name, cluster in places.items()}
    release.delete_pod("neighbour", at_once=True)


def source(
    release: Cluster, guests: Mapping[str, tuple[Cluster, str]], name: str
) -> tuple[Cluster, str]:
    """Return the namespace and the pod of a source of connections."""
    return guests[name] if name in guests else (release, release.ready_pods(name)[0].name)


@pytest.mark.parametrize("name", [*PORTS, *GUESTS])
def test_each_pod_reaches_what_it_needs_and_nothing_else(
    name: str,
    release: Cluster,
    guests: Mapping[str, tuple[Cluster, str]],
    addresses: Mapping[str, tuple[str, int]],
    note: Note,
) -> None:
    """Policies take a moment to apply to a new pod, so a guest may need another try."""
    cluster, pod = source(release, guests, name)
    expected = {to for origin, to in EDGES if origin == name}
    # A pod always reaches itself; parts other than the API have only one pod.
    targets = {to: place for to, place in addresses.items() if to != name or name == "api"}

    if name in GUESTS:
        wait_until(
            f"{name} reaches {expected} alone",
            lambda: knock(cluster, pod, targets) == expected,
            10,
            seen=lambda: knock(cluster, pod, targets),
        )
    assert knock(cluster, pod, targets) == expected
    note(f"{name} reaches {', '.join(sorted(expected)) or 'none'} of {', '.join(targets)}")


@pytest.mark.parametrize("part", PORTS)
def test_a_part_reaches_nothing_outside(
    part: str,
    release: Cluster,
    guests: Mapping[str, tuple[Cluster, str]],
    outer: Mapping[str, tuple[str, int]],
    note: Note,
) -> None:
    """Also tried from a stranger: targets that it reaches are blocked for the part by policies."""
    kept = knock(*guests["stranger"], outer)
    assert "API server" in kept, "a pod without policies does not reach it either"
    assert knock(release, release.ready_pods(part)[0].name, outer) == set()
    note(
        f"{part} is kept from {', '.join(sorted(kept))}; not tellable here: "
        f"{', '.join(sorted(set(outer) - kept)) or 'none'}"
    )


@pytest.mark.parametrize("part", PORTS)
def test_a_part_shows_no_other_port(
    part: str,
    guests: Mapping[str, tuple[Cluster, str]],
    addresses: Mapping[str, tuple[str, int]],
) -> None:
    """A stranger finds nothing on other ports on which such programs often listen."""
    host = addresses[part][0]
    others = {port for port in (*STRAY_PORTS, *PORTS.values()) if port != PORTS[part]}
    assert knock(*guests["stranger"], {str(port): (host, port) for port in others}) == set()


@pytest.mark.parametrize("part", ["api", "mlflow"])
def test_a_part_finds_names(part: str, release: Cluster) -> None:
    """Every part may use DNS."""
    script = "import socket, sys; sys.stdout.write(socket.gethostbyname(sys.argv[1]))"
    pod = release.ready_pods(part)[0].name
    found = release.exec(pod, "python3", "-c", script, release.name("mlflow"))
    assert found == release.get("service", release.name("mlflow"))["spec"]["clusterIP"]
