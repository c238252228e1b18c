"""Runs scanners on the code, the chart and the Dockerfile: `make scan`.

A scanner that reads nothing finds nothing either. So each also reads a control, a file with a known
flaw, and its result counts only if that is reported. A rule that is wrong here is waived, with its
reason, in the scanner's configuration; a waiver that no longer matches anything is a finding too.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import yaml

from tools.supply.report import NoData

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".scan" / "bin"
DETECT_SECRETS = ROOT / ".supply" / "bin" / "detect-secrets"
"""In another environment than checkov's, which has a fork of the same name."""

SHIPPED = ("service", "charts/mlops-desafio/files", "tools/supply")

RENDERINGS: Mapping[str, Sequence[str]] = {
    "defaults": (),
    "dev": ("--values", "k8s/values/dev.yaml"),
    "production": ("--values", "k8s/values/production.yaml"),
    "everything": (
        *("--set", "auth.enabled=true", "--set", "api.autoscaling.enabled=true"),
        *("--set", "backup.enabled=true", "--set", "backup.restore=latest"),
        *("--set", "monitoring.standalone=true"),
        *("--set", "training.executor=kubernetes"),
        *("--set", "training.apiServer.cidrs={192.0.2.1/32}"),
    ),
}
"""Helm's options for each set of manifests that is read."""

ON_A_NAME = "Secret Keyword on a Secret's name"
_NAMES = re.compile(r"\b(existingSecret|secretName)\b")
# `existingSecret: ours` names a Kubernetes Secret; it is not a secret itself.
WAIVED_BY_DETECT_SECRETS = frozenset({ON_A_NAME})

_ANY = re.compile("")
WHERE: Mapping[str, "re.Pattern[str]"] = {
    "CKV_K8S_8": re.compile(r" Pod\.\S+-test-\w+$"),
    "CKV_K8S_9": re.compile(r" Pod\.\S+-test-\w+$"),
    "CKV_K8S_38": re.compile(r" Deployment\.\S+-api$"),
    "CKV_K8S_40": re.compile(r"-(postgres|grafana)$"),
}
"""The places where a rule is waived, if not everywhere."""

_CONTROL = "control"
_SECONDS = 600


class Finding(NamedTuple):
    """A scanner's finding at one place."""

    rule: str
    place: str
    text: str


def judge(tool: str, found: Collection[Finding], waived: Collection[str]) -> list[str]:
    """Return a line for each unwaived finding and each idle waiver; raise NoData on failure."""
    own = [finding for finding in found if _CONTROL not in Path(finding.place).parts]
    if len(own) == len(found):
        raise NoData(f"{tool} did not report its control")
    met = {one for one in own if one.rule in waived and WHERE.get(one.rule, _ANY).search(one.place)}
    lines = {f"{tool} {one.rule}: {one.place}: {one.text}" for one in {*own} - met}
    idle = set(waived) - {one.rule for one in met}
    return sorted(lines) + [f"{tool} {rule}: the waiver meets nothing" for rule in sorted(idle)]


def _bandit(tree: Path) -> list[Finding]:
    (tree / _CONTROL / "control.py").write_text("eval(input())\n")
    report = told(
        [TOOLS / "bandit", "--quiet", "--recursive", *SHIPPED, _CONTROL, "--format", "json"], tree
    )
    wanted = {path.relative_to(tree) for part in SHIPPED for path in (tree / part).rglob("*.py")}
    if report["errors"] or not wanted or wanted - {Path(name) for name in report["metrics"]}:
        raise NoData(f"bandit did not read all of {', '.join(SHIPPED)}")
    return [
        Finding(one["test_id"], f"{one['filename']}:{one['line_number']}", one["issue_text"])
        for one in report["results"]
    ]


def _hadolint(tree: Path) -> list[Finding]:
    folder = _dockerfiles(tree)
    files = [str(path.relative_to(folder)) for path in sorted(folder.rglob("Dockerfile"))]
    report = told([TOOLS / "hadolint", "--format", "json", *files], folder)
    return [Finding(one["code"], f"{one['file']}:{one['line']}", one["message"]) for one in report]


def _detect_secrets(tree: Path) -> list[Finding]:
    # Assembled here, so that this file holds no secret.
    (tree / _CONTROL / "key").write_text("-----BEGIN RSA " + "PRIVATE KEY-----\n")
    report = told([DETECT_SECRETS, "scan", "--no-verify", "--all-files", "."], tree)
    return [
        secret(one["type"], name, one["line_number"], (tree / name).read_text())
        for name, some in report["results"].items()
        for one in some
    ]


def secret(kind: str, name: str, number: int, text: str) -> Finding:
    """Return the finding at a line; its rule differs if the line names a Secret."""
    line = text.splitlines()[number - 1]
    rule = ON_A_NAME if kind == "Secret Keyword" and _NAMES.search(line) else kind
    return Finding(rule, f"{name}:{number}", "it looks like a secret")


def _checkov(kind: str, folder: Path) -> list[Finding]:
    report = told(
        [TOOLS / "checkov", "--directory", ".", "--framework", kind, "--compact", "--quiet",
         "--skip-download", "--output", "json"],
        folder,
    )  # fmt: skip
    if report["summary"]["parsing_errors"]:
        raise NoData(f"checkov could not read {report['results']['parsing_errors']}")
    return [
        Finding(one["check_id"], f"{one['file_path']} {one['resource']}", one["check_name"])
        for one in report["results"]["failed_checks"]
    ]


def _manifests(tree: Path) -> list[Finding]:
    helm = shutil.which("helm")
    if helm is None:
        raise NoData("there is no helm on PATH to render the chart")
    folder = tree.parent / "manifests"
    for name, options in RENDERINGS.items():
        made = _run([helm, "template", "desafio", "charts/mlops-desafio", *options], tree)
        if made.returncode:
            raise NoData(f"helm: {made.stderr.strip()}")
        _write(folder / name / "manifests.yaml", made.stdout)
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "control"}}
    spec = {"containers": [{"name": "x", "image": "x", "securityContext": {"privileged": True}}]}
    _write(folder / _CONTROL / "pod.yaml", yaml.safe_dump({**pod, "spec": spec}))
    return _checkov("kubernetes", folder)


def _dockerfile(tree: Path) -> list[Finding]:
    return _checkov("dockerfile", _dockerfiles(tree))


def _dockerfiles(tree: Path) -> Path:
    folder = tree.parent / "images"
    _write(folder / "ours" / "Dockerfile", resolved((tree / "Dockerfile").read_text()))
    _write(folder / _CONTROL / "Dockerfile", "FROM debian\n")
    return folder


def resolved(dockerfile: str) -> str:
    """Substitute the defaults of build arguments, as docker does and scanners do not."""
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", dockerfile, re.MULTILINE))
    return re.sub(r"\$\{(\w+)\}", lambda found: defaults.get(found[1], found[0]), dockerfile)


def waived_by_checkov() -> frozenset[str]:
    """Return the rules that its configuration waives."""
    return frozenset(yaml.safe_load((ROOT / ".checkov.yaml").read_text())["skip-check"])


def waived_by_bandit() -> frozenset[str]:
    """Return the rules that its configuration waives; others are waived in place."""
    return frozenset(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["bandit"]["skips"]
    )


SCANS: Mapping[str, tuple[Callable[[Path], list[Finding]], Callable[[], Collection[str]]]] = {
    "bandit": (_bandit, waived_by_bandit),
    "checkov on the chart": (_manifests, waived_by_checkov),
    "checkov on the Dockerfile": (_dockerfile, frozenset),
    "detect-secrets": (_detect_secrets, lambda: WAIVED_BY_DETECT_SECRETS),
    "hadolint": (_hadolint, frozenset),
}
"""Each scanner, and its waived rules."""


def told(command: Sequence[str | Path], folder: Path) -> Any:
    """Run a scanner in a folder; return its report; raise NoData on failure."""
    ran = _run(command, folder)
    try:
        return orjson.loads(ran.stdout)
    except ValueError as error:
        last = ran.stderr.strip().rsplit("\n", 1)[-1]
        raise NoData(f"{Path(command[0]).name} gave no report: {last}") from error


def _run(command: Sequence[str | Path], folder: Path) -> "subprocess.CompletedProcess[str]":
    # The chart names no namespace; checkov takes the release's from HELM_NAMESPACE.
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "HELM_NAMESPACE": "desafio"},
        capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _copy(tree: Path) -> None:
    """Copy the files that git tracks, so that scanners see no environments, data or builds."""
    for name in _run(["git", "ls-files", "-z"], ROOT).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)


def scan(tree: Path) -> list[str]:
    """Return a line for each finding in a copy of the repository; raise NoData on failure."""
    lines = []
    for tool, (ask, waived) in SCANS.items():
        # A new folder for each scanner, so that one's control is not another's finding.
        (tree / _CONTROL).mkdir()
        found = judge(tool, ask(tree), waived())
        shutil.rmtree(tree / _CONTROL)
        sys.stdout.write(f"{tool}: {len(found)} findings, {len(waived())} rules waived\n")
        lines += found
    return lines


def main() -> int:
    """Scan all; return 0 if every scanner reported its control and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "tree"
        try:
            _copy(tree)
            found = scan(tree)
        except NoData as error:
            sys.stderr.write(f"The scan had no data, so it says nothing: {error}.\n")
            return 1
    for line in found:
        sys.stdout.write(f"{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
