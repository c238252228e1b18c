"""The aliases for listings: how often MLflow is asked for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.registry.aliases import KEEP_SECONDS, Aliases
from service.registry.connection import Connection
from tests.support.stores import with_tables

NAMES = ("it's", 'the "best"', """both ' and \"""", "plain")


class Scene:
    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.connection = Connection("", with_tables(folder))
        self.aliases = Aliases(self.connection, lambda: self.now)
        for name in NAMES:
            self.connection.client.create_registered_model(name)
            self.connection.client.create_model_version(name, folder.as_uri())

    def name(self, model: str, alias: str) -> None:
        self.connection.client.set_registered_model_alias(model, alias, "1")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.connection.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_aliases_of_one_model_are_always_new(scene: Scene, name: str) -> None:
    for known in ([], ["a"], ["a", "b"]):
        assert scene.aliases.of({name}).get((name, 1), ()) == tuple(known)
        scene.name(name, chr(ord("a") + len(known)))


def test_the_aliases_of_several_models_are_read_once_a_second(scene: Scene) -> None:
    scene.name("plain", "first")
    assert scene.aliases.of(NAMES) == {("plain", 1): ("first",)}

    scene.name("it's", "second")
    scene.now += KEEP_SECONDS / 2
    assert scene.aliases.of(NAMES) == {("plain", 1): ("first",)}
    scene.now += KEEP_SECONDS / 2
    assert scene.aliases.of(NAMES) == {("plain", 1): ("first",), ("it's", 1): ("second",)}


def test_an_empty_page_asks_nothing(scene: Scene) -> None:
    scene.connection.close()

    assert scene.aliases.of(()) == {}
