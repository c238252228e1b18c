"""The console's libraries are unmodified copies of locked packages, with their licences."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.vendor.__main__ import Places, main
from tools.vendor.copies import FILES, SUMS, differences_from_sums, write_sums

ROOT = Path(__file__).parents[2]
LOCKED = ROOT / "tools" / "vendor"

_NPM = """#!{python}
import pathlib, sys
assert sys.argv[1] == "ci" and "--ignore-scripts" in sys.argv, sys.argv
assert pathlib.Path("package.json").is_file() and pathlib.Path("package-lock.json").is_file()
if {refusal!r}:
    sys.exit({refusal!r})
for name in {names!r}:
    path = pathlib.Path("node_modules", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("content of " + name)
"""
_UNREACHABLE = "npm error code ENOTFOUND\nnpm error network request failed"
_TAMPERED = "npm error code EINTEGRITY\nnpm error sha512-AA= wanted but got sha512-BB="


def _npm(folder: Path, refusal: str = "") -> str:
    """Create a program that installs as npm does, or fails as npm does."""
    tool = folder / "npm"
    names = sorted(FILES.values())
    tool.write_text(_NPM.format(python=sys.executable, refusal=refusal, names=names))
    tool.chmod(0o755)
    return str(tool)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Copies that were made, and packages that are installed no more; npm works."""
    made = Places(tmp_path / "vendor", tmp_path / "locked", tmp_path / "packages", _npm(tmp_path))
    made.locked.mkdir()
    for name in ("package.json", "package-lock.json"):
        (made.locked / name).write_text("{}")
    assert main([], made) == 0
    shutil.rmtree(made.packages)
    return made


def _without_packages(places: Places, npm: str | None) -> Places:
    return Places(places.copies, places.locked, places.packages, npm)


def test_copies_that_were_just_made_pass_the_check(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check", "--need-packages"], places) == 0
    assert capsys.readouterr().err == ""


def test_the_checksums_are_those_that_sha256sum_reads(places: Places) -> None:
    lines = (places.copies / SUMS).read_text().splitlines()

    assert [line.split("  ")[1] for line in lines] == sorted(FILES)
    assert all(len(line.split("  ")[0]) == 64 for line in lines)


def _change(copies: Path) -> None:
    (copies / "htm" / "htm.umd.js").write_text("changed")


def _remove(copies: Path) -> None:
    (copies / "uplot" / "LICENSE").unlink()


def _add(copies: Path) -> None:
    (copies / "preact" / "extra.js").write_text("")


def _forget_sums(copies: Path) -> None:
    (copies / SUMS).unlink()


def _forget_copy(copies: Path) -> None:
    _shorten_sums(copies)
    (copies / "htm" / "htm.umd.js").unlink()


def _shorten_sums(copies: Path) -> None:
    lines = (copies / SUMS).read_text().splitlines(keepends=True)
    (copies / SUMS).write_text("".join(line for line in lines if "htm.umd" not in line))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_change, "htm/htm.umd.js: differs from its checksum"),
        (_remove, "uplot/LICENSE: is missing"),
        (_add, "preact/extra.js: is not in SHA256SUMS"),
        (_forget_sums, "SHA256SUMS: is missing"),
        (_shorten_sums, "htm/htm.umd.js: is not in SHA256SUMS"),
        (_forget_copy, "htm/htm.umd.js: is missing"),
    ],
)
def test_a_copy_that_was_changed_removed_or_added_fails_the_check_without_npm(
    places: Places,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    told: str,
) -> None:
    spoil(places.copies)

    assert main(["--check"], _without_packages(places, None)) == 1
    assert f"service/console/vendor/{told}\n" in capsys.readouterr().err


def test_a_copy_whose_checksum_was_changed_with_it_differs_from_the_package(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(places.copies)
    write_sums(places.copies)

    assert differences_from_sums(places.copies) == []
    assert main(["--check"], places) == 1
    assert "htm.umd.js: differs from htm/dist/htm.umd.js of the pack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("refusal", "told"),
    [(None, "npm is not installed"), (_UNREACHABLE, "npm error code ENOTFOUND")],
)
def test_without_npm_or_a_network_the_checksums_decide_and_the_check_says_so(
    places: Places,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    refusal: str | None,
    told: str,
) -> None:
    poor = _without_packages(places, None if refusal is None else _npm(tmp_path, refusal))

    assert main(["--check"], poor) == 0
    said = capsys.readouterr().err
    assert "were compared with their checksums alone" in said
    assert told in said
    assert main(["--check", "--need-packages"], poor) == 1


@pytest.mark.parametrize("arguments", [["--check"], []])
def test_a_package_that_is_not_the_locked_one_is_never_excused(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    kept = (places.copies / SUMS).read_bytes()

    assert main(arguments, _without_packages(places, _npm(tmp_path, _TAMPERED))) == 1
    assert "sha512-AA= wanted but got sha512-BB=" in capsys.readouterr().err
    assert (places.copies / SUMS).read_bytes() == kept


def test_what_is_installed_is_installed_again_only_for_another_lock(
    places: Places, tmp_path: Path
) -> None:
    assert main(["--install"], places) == 0
    broken = _without_packages(places, _npm(tmp_path, _UNREACHABLE))

    assert main(["--check", "--need-packages"], broken) == 0
    (places.locked / "package-lock.json").write_text('{"version": 2}')
    assert main(["--check", "--need-packages"], broken) == 1


def test_the_committed_copies_are_those_of_the_checksums() -> None:
    assert differences_from_sums(ROOT / "service" / "console" / "vendor") == []


def test_every_package_in_the_console_brings_its_licence() -> None:
    packages = {name.split("/")[0] for name in FILES}

    assert packages == set(json.loads((LOCKED / "package.json").read_text())["dependencies"])
    assert {f"{package}/LICENSE" for package in packages} <= set(FILES)


def test_the_lock_has_exact_releases_with_hashes_and_no_addresses() -> None:
    wanted = json.loads((LOCKED / "package.json").read_text())
    lock = json.loads((LOCKED / "package-lock.json").read_text())["packages"]
    named = {**wanted["dependencies"], **wanted["devDependencies"]}

    root = lock.pop("")
    assert {**root["dependencies"], **root["devDependencies"]} == named
    assert {
        name.removeprefix("node_modules/"): one["version"] for name, one in lock.items()
    } == named
    assert all(one["integrity"].startswith("sha512-") for one in lock.values())
    assert not any("resolved" in one for one in lock.values())
