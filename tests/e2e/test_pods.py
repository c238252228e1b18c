"""The privileges of each kind of pod, read inside it from its first process and mounts."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import pytest

from tests.e2e.cluster import PORTS, Cluster
from tests.e2e.jobs import rights

USERS: Mapping[str, int] = {"api": 10001, "mlflow": 10001, "postgres": 999, "minio": 10001}
PROGRAMS: Mapping[str, str] = {
    "api": "service",
    "mlflow": "mlflow",
    "postgres": "postgres",
    "minio": "minio",
}
SECRETS: Mapping[str, tuple[str, ...]] = {
    "api": ("postgres", "minio"),
    "mlflow": (),
    "postgres": ("minio",),
    "minio": ("postgres",),
}
"""The parts whose passwords a part must not have."""

WRITABLE: Mapping[str, tuple[str, ...]] = {
    "api": ("/data", "/tmp"),
    "mlflow": ("/tmp",),
    "postgres": ("/var/lib/postgresql/data", "/var/run/postgresql", "/run/postgresql", "/tmp"),
    "minio": ("/data", "/tmp"),
}
"""Where a part may write files that stay within its pod's volumes."""

OWN = ("/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
"""Variables that every container gets from the kubelet and its runtime."""

TRY_TO_WRITE = """
for folder in / /etc /usr /usr/bin /var /home /opt; do
  test -d $folder || continue
  (: > $folder/e2e) 2>/dev/null && echo $folder
done
true
"""

TRY_TMP = "echo written > /tmp/e2e && cat /tmp/e2e && rm /tmp/e2e"


@dataclass(frozen=True, slots=True)
class Inside:
    """One pod, seen from inside."""

    part: str
    status: Mapping[str, str]
    mounts: Mapping[str, tuple[str, ...]]
    """Each mount point with its options."""
    environment: Mapping[str, str]
    command: str
    devices: frozenset[str]
    run: Callable[[str], str]
    secret: Callable[[str], dict[str, str]]


@cache
def look(release: Cluster, part: str) -> Inside:
    """Inspect the first process of a part's pod."""
    pod = release.ready_pods(part)[0].name

    def shell(script: str) -> str:
        return release.exec(pod, "sh", "-c", script)

    status = [line.split(":", 1) for line in shell("cat /proc/1/status").splitlines()]
    mounts = [line.split() for line in shell("cat /proc/1/mounts").splitlines()]
    variables = [
        line.split("=", 1) for line in shell("cat /proc/1/environ").split("\0") if "=" in line
    ]
    interfaces = [line.split(":")[0].strip() for line in shell("cat /proc/net/dev").splitlines()]
    return Inside(
        part=part,
        status={key: value.strip() for key, value in status},
        mounts={fields[1]: tuple(fields[3].split(",")) for fields in mounts},
        environment=dict(variables),
        command=shell("tr '\\0' ' ' < /proc/1/cmdline"),
        devices=frozenset(interfaces[2:]),
        run=shell,
        secret=release.secret,
    )


def test_it_runs_as_its_own_user(inside: Inside) -> None:
    """Not as root, and neither saved nor effective ids differ."""
    assert inside.status["Uid"].split() == [str(USERS[inside.part])] * 4


def test_it_is_not_in_the_group_of_root(inside: Inside) -> None:
    """Its group is its user's; an image may add others, but not that one."""
    own = str(USERS[inside.part])
    assert inside.status["Gid"].split() == [own] * 4
    assert own in inside.status["Groups"].split()
    assert "0" not in inside.status["Groups"].split()


def test_it_has_no_capability(inside: Inside) -> None:
    """None effective, permitted, bounding or inheritable."""
    sets = {name: int(inside.status[name], 16) for name in inside.status if name.startswith("Cap")}
    assert set(sets) >= {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}
    assert set(sets.values()) == {0}, sets


def test_it_cannot_gain_privileges(inside: Inside) -> None:
    """A setuid program would give it no privileges."""
    assert inside.status["NoNewPrivs"] == "1"


def test_its_system_calls_are_filtered(inside: Inside) -> None:
    """By the runtime's profile: mode 2."""
    assert inside.status["Seccomp"] == "2"


def test_its_root_is_mounted_read_only(inside: Inside) -> None:
    """The image cannot be changed."""
    assert "ro" in inside.mounts["/"]


def test_it_can_write_to_its_volumes_alone(inside: Inside) -> None:
    """Every other mount that takes files is read-only."""
    writable = {
        place
        for place, options in inside.mounts.items()
        if "rw" in options and not any(f"{place}/".startswith(f"{own}/") for own in OWN)
    }
    assert writable <= set(WRITABLE[inside.part]), writable


def test_a_write_into_the_image_fails(inside: Inside) -> None:
    """Tried in the folders of every image."""
    assert inside.run(TRY_TO_WRITE).split() == []


def test_its_tmp_is_a_volume_of_its_own(inside: Inside) -> None:
    """It takes files, and is not a part of the image."""
    assert "rw" in inside.mounts["/tmp"]
    assert inside.run(TRY_TMP).strip() == "written"


def test_it_has_no_token_for_the_cluster(inside: Inside) -> None:
    """An intruder finds no service account token."""
    assert not [place for place in inside.mounts if "serviceaccount" in place]
    assert inside.run("ls -d /var/run/secrets/kubernetes.io 2>/dev/null || echo none") == "none\n"


def test_no_account_of_the_release_may_do_more_than_any_other(release: Cluster) -> None:
    """Trainings are no Jobs here, so that there is no Role either."""
    selector = f"app.kubernetes.io/instance={release.release}"

    assert release.all("roles", selector) == []
    assert release.all("rolebindings", selector) == []
    assert rights(release, release.name("api")) == rights(release, "default")


def test_its_environment_names_no_services(inside: Inside) -> None:
    """Nor any password of another part; only the cluster's own API is always named."""
    services = {
        name
        for name in inside.environment
        if name.endswith("_SERVICE_HOST") and name != "KUBERNETES_SERVICE_HOST"
    }
    assert services == set()
    for part in SECRETS[inside.part]:
        for encoded in inside.secret(part).values():
            password = base64.b64decode(encoded).decode()
            assert not [name for name, text in inside.environment.items() if password in text]


def test_it_shares_neither_processes_nor_network_with_its_node(inside: Inside) -> None:
    """Process 1 is its own program, and it has one network device besides the loopback."""
    assert PROGRAMS[inside.part] in inside.command
    assert inside.devices - {"lo"} == {"eth0"} | (inside.devices & {"tunl0", "sit0", "ip6tnl0"})


@pytest.fixture(params=list(PORTS))
def inside(request: pytest.FixtureRequest, release: Cluster) -> Inside:
    """Return a pod of each part, inspected."""
    return look(release, request.param)
