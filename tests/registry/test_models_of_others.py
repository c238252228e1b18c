"""Models that others named, renamed or deleted in MLflow, in every registry."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from service.common.domain import is_model_name
from service.common.errors import ModelNotFound
from service.common.ports import Registry
from tests.support.registered import add_version, delete_model, rename_model

NAMES = (
    "Churn model",
    "O'Brien",
    'the "best"',
    "both ' and \"",
    "Ção — é",
    "50%_off",
    "a#b@c;d\\e",
    "x' or name != 'y",
)


def _listed(registry: Registry, name: str | None) -> Sequence[str]:
    return [version.name for version in registry.list_versions(name, 100, None).items]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_found_by_any_name_that_mlflow_takes(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    added = add_version(registry, tmp_path, "plain")

    rename_model(registry, "plain", name)

    assert is_model_name(name)
    assert _listed(registry, name) == [name]
    assert name in _listed(registry, None)
    found = registry.get_version(name, 1)
    assert (found.name, found.version, found.refusal) == (name, 1, None)
    assert registry.newest_version(name) == found
    assert registry.commit_use(found, "a test").name == name
    assert registry.fetch(found, tmp_path / "out").joinpath("model.onnx").is_file()
    registry.delete_version(name, 1)
    assert _listed(registry, name) == []
    assert added.digest == found.digest


@pytest.mark.parametrize("name", ["", " ", ".", "..", "..a", "a/b", "a:b", "x" * 257])
def test_a_name_that_mlflow_does_not_take_is_ill_formed(name: str) -> None:
    assert not is_model_name(name)


@pytest.mark.parametrize("name", ["what?", "two\nlines"])
def test_a_name_that_no_address_can_hold_is_listed_with_the_reason(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    add_version(registry, tmp_path, "addressable")

    rename_model(registry, "addressable", name)

    (listed,) = registry.list_versions(name, 100, None).items
    assert listed.refusal is not None
    assert "rename" in listed.refusal


def test_a_version_in_use_is_found_under_its_new_name(registry: Registry, tmp_path: Path) -> None:
    version = add_version(registry, tmp_path, "before")
    registry.commit_use(version, "a test")

    rename_model(registry, "before", "after")

    use = registry.newest_use()
    assert use is not None
    found = registry.find_again(use)
    assert found is not None
    assert (found.name, found.version, found.digest) == ("after", 1, version.digest)
    with pytest.raises(ModelNotFound):
        registry.get_version("before", 1)


def test_a_version_of_another_run_is_not_taken_for_the_one_in_use(
    registry: Registry, tmp_path: Path
) -> None:
    version = add_version(registry, tmp_path, "gone")
    use = registry.commit_use(version, "a test")

    delete_model(registry, "gone")
    again = add_version(registry, tmp_path, "gone")

    assert (again.name, again.version, again.digest) == ("gone", 1, version.digest)
    assert not use.is_of(again)
    assert registry.find_again(use) is None
