from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.sites import keyed_site, open_site, quick_site, site_without_mlflow
from tests.support.chromium import ChromiumMissing, chromium, executable
from tests.support.fakes import FakeRegistry
from tests.support.visitor import Site, Visitor


def pytest_sessionstart() -> None:
    """End before the first test where there is no browser, instead of failing each test."""
    try:
        executable()
    except ChromiumMissing as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service as a new user has it, a training later."""
    with open_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same service, asking for keys."""
    with keyed_site(tmp_path_factory.mktemp("keyed")) as site:
        yield site


@pytest.fixture(scope="session")
def without_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service that serves iris version 1 while MLflow is away."""
    with site_without_mlflow(tmp_path_factory.mktemp("without_mlflow")) as site:
        yield site


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    """What `own` has for MLflow."""
    return FakeRegistry(tmp_path)


@pytest.fixture
def own(tmp_path: Path, registry: FakeRegistry, visitor: Visitor) -> Iterator[Site]:
    """A service of one test, which may change what it likes; iris version 1 is in use."""
    with quick_site(tmp_path, registry) as site:
        yield site
        visitor.leave()


@pytest.fixture
def bare(tmp_path: Path, registry: FakeRegistry, visitor: Visitor) -> Iterator[Site]:
    """A service of one test in which nothing was ever put in use."""
    with quick_site(tmp_path, registry, iris=False) as site:
        yield site
        visitor.leave()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Opens pages; the test fails if one of them did what it must not do."""
    with Visitor(browser) as visitor:
        yield visitor
    assert visitor.complaints() == []


@pytest.fixture
def page(visitor: Visitor, site: Site) -> Page:
    """The console of `site` at its first page, at 1280 by 800, in light, in English."""
    return visitor.open(site, "/")
