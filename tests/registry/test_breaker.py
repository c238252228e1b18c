"""A silent server is not called for a while, and is used again once it answers."""

from pathlib import Path

import pytest

from service.common.errors import ModelNotFound, RegistryUnavailable
from service.registry.breaker import FAILURES, OPEN_SECONDS, Breaker
from service.registry.mlflow_registry import MlflowRegistry
from tests.support.mlflow_server import free_port


class Silence(Exception):
    pass


class Scene:
    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.breaker = Breaker(lambda error: isinstance(error, Silence), lambda: self.now)

    def ask(self, error: Exception | None = None, *, vital: bool = False) -> None:
        with self.breaker.call(vital=vital):
            self.asked += 1
            if error is not None:
                raise error

    def fail(self, times: int = FAILURES, *, vital: bool = False) -> None:
        for _ in range(times):
            with pytest.raises(Silence):
                self.ask(Silence(), vital=vital)


def test_after_consecutive_failures_no_call_is_made_for_some_time() -> None:
    scene = Scene()
    scene.fail()

    with pytest.raises(RegistryUnavailable, match="3 times in a row, and is asked again in 5 s"):
        scene.ask()
    assert scene.asked == FAILURES

    scene.now += OPEN_SECONDS
    scene.ask()
    scene.ask()
    assert scene.asked == FAILURES + 2


def test_one_call_at_a_time_probes_and_its_failure_restarts_the_pause() -> None:
    scene = Scene()
    scene.fail()
    scene.now += OPEN_SECONDS

    def fail_while_another_asks() -> None:
        with scene.breaker.call():
            with pytest.raises(RegistryUnavailable):
                scene.ask()
            raise Silence

    with pytest.raises(Silence):
        fail_while_another_asks()

    scene.now += OPEN_SECONDS - 1
    with pytest.raises(RegistryUnavailable):
        scene.ask()


def test_any_answer_in_between_resets_the_count_of_failures() -> None:
    scene = Scene()
    scene.fail(FAILURES - 1)
    with pytest.raises(ModelNotFound):
        scene.ask(ModelNotFound("m"))

    scene.fail(FAILURES - 1)

    scene.ask()


def test_a_vital_call_is_always_made_and_its_answer_readmits_all_calls() -> None:
    scene = Scene()
    scene.fail(vital=True)
    with pytest.raises(RegistryUnavailable):
        scene.ask()

    scene.ask(vital=True)

    scene.ask()


def test_requests_for_an_mlflow_that_is_down_are_refused_without_asking_it(
    tmp_path: Path,
) -> None:
    registry = MlflowRegistry(f"http://127.0.0.1:{free_port()}", tmp_path)

    reasons = []
    for _ in range(FAILURES + 1):
        with pytest.raises(RegistryUnavailable) as caught:
            registry.newest_version("m")
        reasons.append(caught.value.reason)
    with pytest.raises(RegistryUnavailable) as vital:
        registry.newest_use()

    assert reasons[:-1] == ["it cannot be reached."] * FAILURES
    assert "asked again in" in reasons[-1]
    assert vital.value.reason == "it cannot be reached."
