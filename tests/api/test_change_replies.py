"""What `/use-model` and `/traffic` say alike of a change."""

from fastapi import Response

from service.api.change_replies import changed_reply
from service.common.domain import Use
from service.rollout.change import Change
from service.rollout.replica import Confirmation
from tests.support.fakes import make_version

USE = Use.begin(7, make_version(name="iris", version=3), "a test", 0.0)
CONFIRMED = Confirmation("a", "http://a", 7)


def test_a_change_that_all_confirm_is_done() -> None:
    response = Response()

    reply = changed_reply(Change(USE, None, [CONFIRMED], [], 0.123456), response)

    assert response.status_code == 200
    assert reply.model_dump() == {
        "name": "iris",
        "version": 3,
        "epoch": 7,
        "replicas": [{"id": "a", "url": "http://a", "epoch": 7}],
        "missing": [],
        "seconds": 0.1235,
    }


def test_a_change_that_a_replica_has_not_confirmed_is_accepted_and_names_it() -> None:
    response = Response()

    reply = changed_reply(Change(USE, None, [CONFIRMED], ["b"], 10.0), response)

    assert response.status_code == 202
    assert reply.missing == ["b"]
