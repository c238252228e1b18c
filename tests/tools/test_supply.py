"""Supply-chain checks: results need data, lists are complete, and pins are exact."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from service import __version__
from tests.support.chart import needs_helm, render
from tools.supply.audit import CONTROL, KNOWN, LOCK, audit, look_up
from tools.supply.pins import Pin, pins
from tools.supply.report import NoData
from tools.supply.sbom import document
from tools.supply.scan import (
    ON_A_NAME,
    SHIPPED,
    Finding,
    judge,
    resolved,
    secret,
    told,
    waived_by_bandit,
    waived_by_checkov,
)

ROOT = Path(__file__).parents[2]

_TOOL = """#!{python}
import json, sys
wanted = [line.split("==") for line in open(sys.argv[2]).read().split()]
assert len({{name for name, _ in wanted}}) == len(wanted), "a name is pinned twice"
flaws, skipped = {flaws!r}, {skipped!r}
told = []
for name, version in wanted:
    if name in skipped:
        told.append({{"name": name, "skip_reason": "it was not found"}})
        continue
    told.append({{"name": name, "version": version, "vulns": flaws.get(name, [])}})
print(json.dumps({{"dependencies": told, "fixes": []}}))
"""

_REPORTED = {"jinja2": [{"id": "PYSEC-2019-217", "aliases": [KNOWN], "fix_versions": ["2.10.1"]}]}


def _fake_tool(
    folder: Path, flaws: dict[str, Any] = _REPORTED, skipped: tuple[str, ...] = ()
) -> Path:
    """Create a program that answers like pip-audit."""
    tool = folder / "pip-audit"
    tool.write_text(_TOOL.format(python=sys.executable, flaws=flaws, skipped=skipped))
    tool.chmod(0o755)
    return tool


def _lock(folder: Path) -> Path:
    lock = folder / "some.lock"
    lock.write_text(
        "a==1.0 \\\n    --hash=sha256:00\nB_c==2.0 ; python_full_version < '3.12' \\\n"
        "    --hash=sha256:01\nB_c==2.1 ; python_full_version >= '3.12' \\\n    --hash=sha256:02\n"
    )
    return lock


def test_an_audit_that_had_data_and_found_nothing_says_so(tmp_path: Path) -> None:
    assert audit(_fake_tool(tmp_path), _lock(tmp_path)) == []


def test_a_finding_names_its_release_for_any_version_of_python(tmp_path: Path) -> None:
    flaw = {"id": "GHSA-1", "aliases": ["CVE-1"], "fix_versions": ["3"]}
    tool = _fake_tool(tmp_path, {**_REPORTED, "b-c": [flaw]})

    found = audit(tool, _lock(tmp_path))

    assert sorted(found) == ["b-c 2.0: GHSA-1 = CVE-1", "b-c 2.1: GHSA-1 = CVE-1"]


def test_an_empty_database_is_no_clean_result(tmp_path: Path) -> None:
    with pytest.raises(NoData, match=f"{KNOWN} on the control, jinja2 2.10, was not reported"):
        audit(_fake_tool(tmp_path, {}), _lock(tmp_path))


@pytest.mark.parametrize("skipped", ["jinja2", "a", "b-c"])
def test_a_release_that_was_not_looked_up_is_no_clean_result(tmp_path: Path, skipped: str) -> None:
    with pytest.raises(NoData, match=f"were not looked up: {skipped}"):
        audit(_fake_tool(tmp_path, skipped=(skipped,)), _lock(tmp_path))


def test_a_service_that_does_not_answer_is_no_clean_result(tmp_path: Path) -> None:
    tool = tmp_path / "pip-audit"
    tool.write_text("#!/bin/sh\necho 'it cannot be reached' >&2\nexit 1\n")
    tool.chmod(0o755)

    with pytest.raises(NoData, match="gave no report: it cannot be reached"):
        audit(tool, _lock(tmp_path))


def test_all_that_the_image_may_hold_is_looked_up(tmp_path: Path) -> None:
    looked_up = look_up(_fake_tool(tmp_path), pins(LOCK))

    assert set(looked_up) == set(pins(LOCK))
    # Two pins of one name: a release for each version of Python.
    assert len([pin for pin in looked_up if pin.name == "numpy"]) == 2
    assert len(pins(LOCK)) == LOCK.read_text().count("==") - LOCK.read_text().count("== '")
    assert pins(CONTROL) == [Pin("jinja2", "2.10")]


def _document(*components: dict[str, Any]) -> bytes:
    return orjson.dumps({"metadata": {"component": {"name": "x"}}, "components": components})


def _component(name: str, version: str, hashed: bool = True) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": "00"}] if hashed else []
    return {"name": name, "version": version, "externalReferences": [{"hashes": hashes}]}


def test_the_list_of_parts_names_our_version_and_every_release() -> None:
    made = _document(_component("a", "1.0"), _component("B_c", "2.0"))

    found = document(made, [Pin("a", "1.0"), Pin("b-c", "2.0")])

    assert found["metadata"]["component"]["version"] == __version__


@pytest.mark.parametrize(
    "component", [_component("a", "1.1"), _component("b", "1.0"), _component("a", "1.0", False)]
)
def test_a_list_without_a_release_or_its_hash_is_refused(component: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 releases are missing, or have no hash"):
        document(_document(component), [Pin("a", "1.0")])


_CONTROL = Finding("X0", "control/Dockerfile:1", "a flaw that is known")


def test_a_scan_that_reported_its_control_and_nothing_else_says_so() -> None:
    assert judge("a tool", [_CONTROL], ()) == []


@pytest.mark.parametrize("found", [[], [Finding("X1", "service/controls.py:1", "a flaw")]])
def test_a_scanner_that_missed_its_control_is_no_clean_result(found: list[Finding]) -> None:
    with pytest.raises(NoData, match="a tool did not report its control"):
        judge("a tool", found, ())


def test_a_finding_is_reported_unless_its_rule_is_waived() -> None:
    found = [_CONTROL, Finding("X1", "a.py:1", "a flaw"), Finding("X2", "b.py:2", "another")]

    assert judge("a tool", found, {"X2"}) == ["a tool X1: a.py:1: a flaw"]


def test_a_waiver_holds_at_its_places_alone() -> None:
    found = [
        _CONTROL,
        Finding("CKV_K8S_8", "/dev/manifests.yaml Pod.default.desafio-test-ready", "no probe"),
        Finding("CKV_K8S_8", "/dev/manifests.yaml Deployment.default.desafio-api", "no probe"),
    ]

    (line,) = judge("checkov", found, {"CKV_K8S_8"})
    assert "desafio-api" in line


def test_a_waiver_that_matches_nothing_is_a_finding() -> None:
    # A finding in the control does not count as its use.
    assert judge("a tool", [_CONTROL], {"X0"}) == ["a tool X0: the waiver meets nothing"]


def test_the_name_of_a_secret_is_distinguished_from_a_secret() -> None:
    text = "existingSecret: ours\npassword: kept\n"

    assert secret("Secret Keyword", "a.yaml", 1, text).rule == ON_A_NAME
    assert secret("Private Key", "a.yaml", 1, text).rule == "Private Key"
    assert secret("Secret Keyword", "a.yaml", 2, text).rule == "Secret Keyword"


def test_a_scanner_reads_the_image_that_docker_would_take() -> None:
    read = resolved((ROOT / "Dockerfile").read_text())

    assert re.findall(r"^FROM (\S+)", read, re.MULTILINE) == ["python:3.13-slim"] * 2


def test_a_scanner_that_gave_no_report_is_no_clean_result(tmp_path: Path) -> None:
    tool = tmp_path / "checkov"
    tool.write_text("#!/bin/sh\necho 'it fell over' >&2\n")
    tool.chmod(0o755)

    with pytest.raises(NoData, match="checkov gave no report: it fell over"):
        told([tool], tmp_path)


def test_the_security_policy_names_every_waiver_with_a_reason() -> None:
    policy = (ROOT / "SECURITY.md").read_text()
    code = [path.read_text() for part in SHIPPED for path in (ROOT / part).rglob("*.py")]
    at_their_place = set(re.findall(r"# nosec (B\d+)$", "\n".join(code), re.MULTILINE))

    waived = waived_by_checkov() | waived_by_bandit() | at_their_place
    rows = dict(re.findall(r"^\| (CKV_\w+|B\d+) \|[^|]+\| (.+) \|$", policy, re.MULTILINE))
    assert set(rows) == waived
    assert all(len(reason) > 20 for reason in rows.values())
    # Without a rule it would silence all rules.
    assert len(re.findall("# nosec", "\n".join(code))) == len(at_their_place)


def test_a_base_image_is_chosen_by_value_and_is_the_usual_one_without() -> None:
    def command(*values: str) -> str:
        return subprocess.run(
            ["make", "-C", str(ROOT), "--dry-run", "image", *values],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    base = "python:3.13-slim@sha256:" + "a" * 64
    assert f"--build-arg PYTHON_IMAGE={base} " in command(f"PYTHON_IMAGE={base}")
    assert "--build-arg" not in command()


@needs_helm
def test_every_image_of_the_release_can_be_named_by_digest() -> None:
    parts = ("", "postgres.", "minio.", "monitoring.prometheus.", "monitoring.grafana.")
    digest = "sha256:" + "a" * 64
    resources = render(
        *(f"{part}image.digest={digest}" for part in parts),
        "monitoring.standalone=true",
        "backup.enabled=true",
    )

    text = "".join(map(yaml.safe_dump, resources))
    images = re.findall(r"^\s*(?:- )?image: (\S+)$", text, re.MULTILINE)
    assert len(images) > 10
    assert [image for image in images if not image.endswith(f"@{digest}")] == []


def _steps() -> list[str]:
    """Return the actions that the workflows use, each with the comment behind it."""
    return [
        line.split("uses:")[1].strip()
        for path in (ROOT / ".github" / "workflows").glob("*.y*ml")
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]


def test_actions_are_pinned_by_commit_with_their_version_beside_it() -> None:
    assert _steps()
    for step in _steps():
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", step), step


def test_workflows_may_read_and_keep_no_credentials() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.y*ml"):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            checkouts = [s for s in job["steps"] if "checkout" in s.get("uses", "")]
            assert all(step["with"]["persist-credentials"] is False for step in checkouts)
