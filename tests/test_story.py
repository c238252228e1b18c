"""The README's commands about a model that becomes wrong, run as they are written."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.rollout import referee
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[1]


def _commands() -> list[str]:
    """Return the commands of the README's section, without the change of the folder."""
    section = (ROOT / "README.md").read_text().split("## When a model becomes wrong")[1]
    block = section.split("```console\n")[1].split("```")[0]
    folder, *commands = re.sub(r"\n {4}", " ", block).replace("$ ", "").splitlines()
    assert folder == "cd docs/weather"
    return commands


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A service that looks at the rules each second, not once a minute."""
    monkeypatch.setattr(referee, "LOOK_SECONDS", 1.0)
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path / "registry")) as client:
        yield client


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands need curl")
def test_the_story_in_the_readme_comes_out_as_the_page_of_traffic_tells(client: Client) -> None:
    def run(command: str) -> Any:
        here = command.replace("localhost:8000", f"{client.base_url.host}:{client.base_url.port}")
        ran = subprocess.run(
            ["sh", "-c", here], cwd=ROOT / "docs/weather", capture_output=True, check=True
        )
        told = json.loads(ran.stdout)
        assert "errors" not in told, told
        return told

    upload, train, ask, skew, outcomes, train_again, traffic, ask_again, truth, use = _commands()
    run(upload)
    first = run(train)
    assert first["used"]
    run(ask)
    wait_until(lambda: run(skew)["rows"] == 549)
    verdicts = {one["name"]: one["verdict"] for one in run(skew)["features"]}
    assert set(verdicts.values()) == {"drift"}
    assert run(outcomes)["outcomes"]["accuracy"] < first["metrics"]["accuracy"] - 0.15
    assert run(train_again)["metrics"]["accuracy"] > first["metrics"]["accuracy"]
    run(traffic)
    run(ask_again)
    run(truth)

    wait_until(lambda: run(use)["version"] == 2, 30)

    assert run(use)["decision"].startswith("The second version takes over, since all rules hold")
    for _ in range(2):
        run(ask_again)
    wait_until(lambda: run(skew)["rows"] == 730)
    assert {one["verdict"] for one in run(skew)["features"]} == {"ok"}
