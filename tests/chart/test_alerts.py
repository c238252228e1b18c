"""Each alert fires above its threshold and is silent just below it: `promtool test rules`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.alerts import Case, counter, firing, needs_promtool, rules, series, written_rules
from tests.support.chart import needs_helm

pytestmark = [needs_helm, needs_promtool]

HOUR, DAY = 60, 24 * 60
BUSY = 1000.0
"""Requests a minute."""


def _traffic(slo: str, *phases: tuple[int, float, float]) -> list[tuple[str, str]]:
    """Return series of requests; a phase is its minutes, requests a minute, and share of errors."""
    good = counter(*((minutes, each * (1 - bad)) for minutes, each, bad in phases))
    failed = counter(*((minutes, each * bad) for minutes, each, bad in phases))
    every = counter(*((minutes, each) for minutes, each, _ in phases))
    if slo == "Availability":
        return [_requests(good, "200"), _requests(failed, "503")]
    labels = {"model": "iris", "version": "1", "outcome": "ok"}
    return [
        series("service_predict_seconds_bucket", good, le="0.1", **labels),
        series("service_predict_seconds_count", every, **labels),
    ]


def _requests(values: str, status: str, route: str = "/predict") -> tuple[str, str]:
    return series("service_requests_total", values, route=route, method="POST", status=status)


def _burns() -> Iterator[Case]:
    """Yield cases of each pair of windows: above, just below, after the burn, with few requests."""
    for slo, budget in (("Availability", 0.001), ("Latency", 0.01)):

        def case(
            pace: str, what: str, fires: bool, *phases: tuple[int, float, float], slo: str = slo
        ) -> Case:
            minutes = sum(phase[0] for phase in phases)
            made = _traffic(slo, *phases)
            step = 600 if minutes > DAY else 300
            return Case(f"Desafio{slo}Burns{pace}", what, made, minutes, fires, step)

        quiet = (6 * HOUR, BUSY, 0.0)
        yield case("Fast", "1 h at 16 times", True, quiet, (HOUR, BUSY, 16 * budget))
        yield case("Fast", "1 h at 14 times", False, quiet, (HOUR, BUSY, 14 * budget))
        yield case("Fast", "6 h at 7 times", True, (7 * HOUR, BUSY, 7 * budget))
        yield case("Fast", "6 h at 5 times", False, (7 * HOUR, BUSY, 5 * budget))
        burst = (30, BUSY, 100 * budget)
        yield case("Fast", "over for 50 min", False, quiet, burst, (50, BUSY, 0.0))
        yield case("Fast", "9 of 50", False, (6 * HOUR, 50 / 60, 0.0), (HOUR, 50 / 60, 0.18))
        yield case("Slowly", "3 d at 1.2 times", True, (3 * DAY, BUSY, 1.2 * budget))
        yield case("Slowly", "3 d at 0.8 times", False, (3 * DAY, BUSY, 0.8 * budget))
        before = (2 * DAY, 20 * BUSY, 0.0)
        yield case("Slowly", "busy, then 1 d at 4 times", True, before, (DAY, BUSY, 4 * budget))
        yield case("Slowly", "busy, then 1 d at 2 times", False, before, (DAY, BUSY, 2 * budget))
        over = (3 * HOUR, BUSY, 0.0)
        yield case("Slowly", "over for 3 h", False, before, (DAY, BUSY, 4 * budget), over)
        twice = (3 * DAY - 7 * HOUR, BUSY, 2 * budget)
        yield case("Slowly", "over for 7 h", False, twice, (7 * HOUR, BUSY, 0.0))
        yield case("Slowly", "9 of 50", False, (DAY, 50 / DAY, 0.18))


def _drifted(psi: str, limit: str) -> list[tuple[str, str]]:
    """Return series of one feature in one replica, and of another that never differs."""
    names = ("service_feature_psi", "service_feature_psi_limit")
    moved = [series(n, v, feature="age") for n, v in zip(names, (psi, limit), strict=True)]
    still = [
        series(n, v, feature="city") for n, v in zip(names, ("0.01x45", "0.25x45"), strict=True)
    ]
    return [*moved, *still]


SECOND = {"model": "iris", "version": "2"}


def _compared(minutes: int, **rows: float) -> list[tuple[str, str]]:
    """Return series of two replicas; `rows` are the rows a minute in each, by outcome."""
    return [
        series(
            "service_traffic_rows_total",
            counter((minutes, rows.get(outcome, 0.0))),
            instance,
            outcome=outcome,
            **SECOND,
        )
        for instance in ("a", "b")
        for outcome in ("agreed", "disagreed", "error", "in_use_error", "shed")
    ]


def _verdicts(agreement: str) -> list[tuple[str, str]]:
    """Return series of two rules; `quality` stays undecided."""
    return [
        series("service_traffic_rule", values, rule=rule, **SECOND)
        for rule, values in (("rows", "1x200"), ("agreement", agreement), ("quality", "0x200"))
    ]


def _second_versions() -> Iterator[Case]:
    yield Case("DesafioSecondVersionWorse", "for 70 min", _verdicts("1x20 -1x180"), 91, True)
    yield Case("DesafioSecondVersionWorse", "for 50 min", _verdicts("1x20 -1x180"), 71, False)
    yield Case("DesafioSecondVersionWorse", "again better", _verdicts("-1x40 1x160"), 91, False)
    ended = _verdicts("1x20 -1x60 stale")
    yield Case("DesafioSecondVersionWorse", "it has ended by itself", ended[1:2], 90, False)
    undecided = _verdicts("0x200")
    yield Case("DesafioSecondVersionWorse", "nothing is decided yet", undecided, 190, False)

    failing = _compared(60, agreed=90, disagreed=8, error=2)
    yield Case("DesafioSecondVersionFails", "2 of 100", failing, 20, True)
    failing = _compared(60, agreed=90, disagreed=9.5, error=0.5)
    yield Case("DesafioSecondVersionFails", "1 of 200", failing, 20, False)
    few = _compared(60, agreed=9.1, error=0.9)
    yield Case("DesafioSecondVersionFails", "9 in 5 min", few, 20, False)
    yield Case("DesafioSecondVersionFails", "for 7 min", _compared(60, agreed=9, error=9), 7, False)
    in_use = _compared(60, agreed=50, in_use_error=50)
    yield Case("DesafioSecondVersionFails", "the one in use fails", in_use, 30, False)
    shed = _compared(60, agreed=1, error=1, shed=98)
    yield Case("DesafioSecondVersionFails", "half of the few that are asked", shed, 30, True)

    most = _compared(8 * HOUR, agreed=5, disagreed=1, shed=94)
    yield Case("DesafioSecondVersionShed", "94 of 100 for 7 h", most, 7 * HOUR, True)
    yield Case("DesafioSecondVersionShed", "for 5 h", most, 5 * HOUR, False)
    fewer = _compared(8 * HOUR, agreed=10, disagreed=1, error=1, shed=88)
    yield Case("DesafioSecondVersionShed", "88 of 100", fewer, 7 * HOUR, False)
    few = _compared(8 * HOUR, shed=0.1)
    yield Case("DesafioSecondVersionShed", "6 in 30 min", few, 7 * HOUR, False)

    # It began 14 days before minute 60, which is before the time at which these tests begin.
    name, began = "DesafioSecondVersionUndecided", "service_traffic_start_time_seconds"
    values = f"{60 * (HOUR - 14 * DAY)}x180"
    begun = [series(began, values, replica, **SECOND) for replica in ("a", "b")]
    yield Case(name, "for 14 days and 10 min", begun, 70, True)
    yield Case(name, "for 14 days less 10 min", begun, 50, False)
    again = [series(began, values.replace("x180", "x30 600x150"), **SECOND)]
    yield Case(name, "begun anew", again, 70, False)


def _polls(instance: str, ok: float, failed: float) -> list[tuple[str, str]]:
    return [
        series("service_mlflow_polls_total", counter((30, growth)), instance, outcome=outcome)
        for outcome, growth in (("ok", ok), ("unavailable", failed))
    ]


def _ended(succeeded: int, failed: int) -> list[tuple[str, str]]:
    return [
        series("service_trainings_total", f"0x10 {count}x50", state=state)
        for state, count in (("succeeded", succeeded), ("failed", failed))
    ]


def _full(values: str) -> list[tuple[str, str]]:
    return [series("service_invalid_inputs_total", values, reason="queue-full")]


def _predicted(every: float, invalid: float) -> list[tuple[str, str]]:
    labels = {"model": "iris", "version": "1"}
    return [
        series("service_predict_seconds_count", counter((60, growth)), outcome=outcome, **labels)
        for outcome, growth in (("ok", every - invalid), ("invalid", invalid))
    ]


def _answered(every: float, refused: float, route: str = "/predict") -> list[tuple[str, str]]:
    return [
        _requests(counter((30, every - refused)), "200"),
        _requests(counter((30, refused)), "503", route),
    ]


def _symptoms() -> Iterator[Case]:
    both = "1x20 0x20"
    up = [series("up", both, "a"), series("up", both, "b")]
    yield Case("DesafioDown", "within 2 min of the last answer", up, 7, True, 15)
    yield Case("DesafioDown", "45 s", up, 5.75, False, 15)
    gone = [series("up", "1x20 stale", "a")]
    yield Case("DesafioDown", "no replica is left to ask", gone, 7, True, 15)
    one = [series("up", both, "a"), series("up", "1x40", "b")]
    yield Case("DesafioDown", "one of two answers", one, 10, False, 15)
    yield Case("DesafioReplicaDown", "one of two", one, 10.5, True, 15)
    yield Case("DesafioReplicaDown", "4 min", one, 9, False, 15)

    epoch = "service_epoch"
    none = [series(epoch, "0x10", "a"), series(epoch, "0x10", "b")]
    yield Case("DesafioWithoutModel", "none has one", none, 2, True)
    some = [series(epoch, "0x10", "a"), series(epoch, "3x10", "b")]
    yield Case("DesafioWithoutModel", "one has one", some, 5, False)
    apart = [series(epoch, "2x40", "a"), series(epoch, "2x8 3x32", "b")]
    yield Case("DesafioEpochsDiffer", "over a minute", apart, 4, True, 15)
    yield Case("DesafioEpochsDiffer", "45 s", apart, 3, False, 15)
    yield Case("DesafioEpochsDiffer", "one is starting", some, 5, False)

    failing = [*_polls("a", 24, 36), *_polls("b", 24, 36)]
    yield Case("DesafioPollsFail", "6 of 10", failing, 15, True)
    failing = [*_polls("a", 36, 24), *_polls("b", 36, 24)]
    yield Case("DesafioPollsFail", "4 of 10", failing, 15, False)
    yield Case("DesafioPollsStop", "one does", [*_polls("a", 0, 0), *_polls("b", 60, 0)], 15, True)
    yield Case("DesafioPollsStop", "one a minute", _polls("a", 0, 1), 15, False)
    deleted = series("service_model_in_use_deleted", "0x5 1x7 0x20")
    yield Case("DesafioModelDeleted", "for 6 min", [deleted], 12, True)
    yield Case("DesafioModelDeleted", "for 4 min", [deleted], 10, False)
    failing = [
        series("service_alias_follow_failed", "0x20", "a"),
        series("service_alias_follow_failed", "0x5 1x7 0x20", "b"),
    ]
    yield Case("DesafioAliasNotFollowed", "for 6 min in one of two", failing, 12, True)
    yield Case("DesafioAliasNotFollowed", "for 4 min", failing, 10, False)
    yield Case("DesafioAliasNotFollowed", "no more", failing, 14, False)

    yield Case(
        "DesafioInputDrifts", "one feature for 11 min", _drifted("0.9x45", "0.25x45"), 16, True
    )
    yield Case("DesafioInputDrifts", "for 9 min", _drifted("0.1x5 0.9x40", "0.25x45"), 14, False)
    yield Case("DesafioInputDrifts", "within the limit", _drifted("0.2x45", "0.25x45"), 16, False)

    yield Case("DesafioTrainingsFail", "4 of 6", _ended(2, 4), 30, True)
    yield Case("DesafioTrainingsFail", "4 of 10", _ended(6, 4), 30, False)
    yield Case("DesafioTrainingsFail", "2 of 2", _ended(0, 2), 30, False)
    yield Case("DesafioQueueFull", "again and again", _full("0+1x30"), 25, True)
    yield Case("DesafioQueueFull", "a burst", _full("0x5 9x30"), 15, False)

    yield Case("DesafioPredictionsRefused", "6 of 100", _answered(100, 6), 15, True)
    crowded = _answered(100, 6, route="edge")
    yield Case("DesafioPredictionsRefused", "for open connections", crowded, 15, True)
    yield Case("DesafioPredictionsRefused", "4 of 100", _answered(100, 4), 15, False)
    yield Case("DesafioPredictionsRefused", "7 in 5 min", _answered(2, 1.4), 15, False)
    yield Case("DesafioInvalidInput", "30 of 100", _predicted(100, 30), 40, True)
    yield Case("DesafioInvalidInput", "20 of 100", _predicted(100, 20), 40, False)
    yield Case("DesafioInvalidInput", "7 in 15 min", _predicted(0.5, 0.5), 40, False)

    memory = [series("process_resident_memory_bytes", "1.2e9x30")]
    yield Case("DesafioMemoryHigh", "1.2 GB", memory, 20, True)
    yield Case("DesafioMemoryHigh", "for 10 min", memory, 10, False)
    less = [series("process_resident_memory_bytes", "1e9x30")]
    yield Case("DesafioMemoryHigh", "1 GB", less, 20, False)
    starts = [series("process_start_time_seconds", "1x5 300x5 600x5 900x5")]
    yield Case("DesafioRestarts", "three", starts, 20, True)
    yield Case("DesafioRestarts", "two", starts, 16, False)
    files = [series("process_open_fds", "900x30"), series("process_max_fds", "1000x30")]
    yield Case("DesafioFilesRunOut", "90 of 100", files, 15, True)
    files = [series("process_open_fds", "700x30"), series("process_max_fds", "1000x30")]
    yield Case("DesafioFilesRunOut", "70 of 100", files, 15, False)


CASES = [*_burns(), *_symptoms(), *_second_versions()]


def _marked(case: Case) -> object:
    """Mark a case of days, which takes promtool several seconds."""
    return pytest.param(case, marks=pytest.mark.slow) if case.minutes > DAY else case


@pytest.mark.parametrize("case", [_marked(case) for case in CASES], ids=str)
def test_an_alert_fires_where_it_must_and_nowhere_else(case: Case, tmp_path: Path) -> None:
    assert firing(case, tmp_path) is case.fires


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    alerts = set(rules("alert"))
    assert {case.alert for case in CASES if case.fires} == alerts
    assert {case.alert for case in CASES if not case.fires} == alerts


def test_another_release_in_the_same_prometheus_fires_nothing_here(tmp_path: Path) -> None:
    ours = [series("up", "1x40")]
    theirs = [series("up", "0x40", job="other-api"), series("service_epoch", "0x40", job="other")]
    for alert in ("DesafioDown", "DesafioReplicaDown", "DesafioWithoutModel"):
        assert not firing(Case(alert, "another's", [*ours, *theirs], 20, False), tmp_path)


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(written_rules())
    command = ["promtool", "check", "rules", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"{len(rules('alert')) + len(rules('record'))} rules found" in ran.stdout
