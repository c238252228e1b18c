"""Hundreds of messages that are almost HTTP; `make fuzz` sends 20,000."""

import os
from pathlib import Path

import pytest

from tests.fuzz.grammar import Grammar
from tests.fuzz.raw import attack, files_return, statuses
from tests.support.fakes import FakeRegistry
from tests.support.memory import held
from tests.support.server import serve, settings_for


def test_every_message_is_answered_or_closed_and_leaves_nothing_open(tmp_path: Path) -> None:
    with serve(settings_for(tmp_path / "data", idle_seconds=1.0), FakeRegistry(tmp_path)) as client:
        client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        port = client.base_url.port
        assert port
        attack(port, 2, 30)
        before = held(os.getpid()).files

        found = attack(port, 1, 400)

        assert found.faults == []
        assert {"200", "400", "404", "431"} <= set(found.statuses)
        assert files_return(lambda: held(os.getpid()).files, before) <= 4


def test_a_seed_makes_the_same_messages_again() -> None:
    one, other, third = Grammar(1), Grammar(1), Grammar(3)
    messages = [one.message() for _ in range(50)]

    assert messages == [other.message() for _ in range(50)]
    assert messages != [third.message() for _ in range(50)]


def test_answers_are_separated_and_truncated_ones_are_detected() -> None:
    one = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 9\r\n\r\n"

    assert statuses(one + head + b"123456789", b"GET") == [200, 400]
    assert statuses(head, b"HEAD / HTTP/1.1") == [400]
    for broken in (b"hello", one[:-1], one + b"x"):
        with pytest.raises(ValueError, match=r"no HTTP|cut off"):
            statuses(broken, b"GET")
