"""Fixtures of the tests on a cluster: the release, access to it, and measured figures."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.cluster import Cluster, CommandError, deployed
from tests.e2e.forward import open_api
from tests.e2e.load import Load
from tests.e2e.prometheus import Prometheus, prometheus_of

DISRUPTIVE = (
    "test_gc",
    "test_backup",
    "test_install",
    "test_trainings",
    "test_rollout",
    "test_guarantee",
    "test_outages",
    "test_job_rights",
    "test_jobs",
    "test_job_outages",
    "test_job_endings",
)
"""Tests of these change or break something, so they run last, in this order."""

API_MEMORY = "768Mi"
"""The limit of an API pod where trainings are Jobs."""

Note = Callable[[str], None]

_FIGURES = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start with no figures."""
    config.stash[_FIGURES] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run disruptive tests last."""

    def place(item: pytest.Item) -> int:
        name = item.path.stem
        return DISRUPTIVE.index(name) + 1 if name in DISRUPTIVE else 0

    items.sort(key=place)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures of the run."""
    figures = config.stash[_FIGURES]
    if figures:
        terminalreporter.section("figures")
        for test, figure in figures:
            terminalreporter.write_line(f"{test}: {figure}")


@pytest.fixture(scope="session", autouse=True)
def release() -> Iterator[Cluster]:
    """Return the release under test; without one there is nothing to run.

    At the end the model that was in use is put in use again.
    """
    try:
        cluster = deployed()
    except CommandError as error:
        pytest.exit(str(error), returncode=2)
    with open_api(cluster) as client:
        found = client.get("/use-model").json()
    yield cluster
    with open_api(cluster) as client:
        before = {key: found[key] for key in ("name", "version")}
        assert client.post("/use-model", json=before).status_code in (200, 202)


@pytest.fixture(scope="session")
def outside(release: Cluster) -> Iterator[Cluster]:
    """Create a namespace beside the release's, for the tests' own pods."""
    namespace = Cluster(f"{release.namespace}-e2e", release.release)
    namespace.create_namespace()
    yield namespace
    namespace.delete_namespace()


@pytest.fixture(scope="session")
def with_jobs(release: Cluster) -> Iterator[Cluster]:
    """Have trainings run as Jobs; at the end the release is upgraded to what it was."""
    before = release.values()
    release.upgrade(
        "training.executor=kubernetes,training.ttlSeconds=60,training.maxPods=4,"
        "training.resources.requests.cpu=50m,training.resources.requests.memory=256Mi,"
        "training.resources.requests.ephemeral-storage=16Mi,"
        f"api.resources.limits.memory={API_MEMORY}"
    )
    release.wait_rolled_out("api")
    yield release
    release.bring("upgrade", before)
    release.wait_rolled_out("api")


@pytest.fixture
def api(release: Cluster) -> Iterator[httpx.Client]:
    """Return a client of the service, which reaches it like a user at a terminal."""
    with open_api(release) as client:
        yield client


@pytest.fixture(scope="session")
def load(outside: Cluster, release: Cluster) -> Load:
    """Return a load generator inside the cluster."""
    return Load(outside, release.image(), release)


@pytest.fixture(scope="module")
def prometheus(release: Cluster) -> Iterator[Prometheus]:
    """Return the release's Prometheus, installed for these tests if it has none."""
    with prometheus_of(release) as found:
        yield found


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Return a function that keeps a figure for the end of the run."""
    figures = request.config.stash[_FIGURES]
    return lambda figure: figures.append((request.node.name, figure))


@pytest.fixture
def iris(api: httpx.Client, release: Cluster) -> int:
    """Put the starter model in use in every replica; return its version."""
    version = 1
    response = api.post("/use-model", json={"name": "iris", "version": version})
    assert response.status_code == 200, response.text
    release.wait_served("iris", version)
    return version


@pytest.fixture
def example(api: httpx.Client, iris: int) -> dict[str, Any]:  # noqa: ARG001
    """Return a valid request for the starter model."""
    body: dict[str, Any] = api.get("/schema").json()["example"]
    return body
