"""Evaluates alerts with Prometheus itself, over series that a test makes up."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import NAMESPACE, RELEASE, of_kind, render

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="Alerts are not tested: there is no promtool on PATH (Debian: prometheus).",
)

TARGET = {"namespace": NAMESPACE, "job": f"{RELEASE}-api"}


@dataclass(frozen=True, slots=True)
class Case:
    """An alert, its input series, and whether it fires after the given number of minutes."""

    alert: str
    what: str
    series: Sequence[tuple[str, str]]
    minutes: float
    fires: bool
    seconds: int = 60
    """The interval of evaluations, and of samples unless that is more than a minute."""

    def __str__(self) -> str:
        return f"{self.alert}: {self.what}".replace(" ", "_")


def series(metric: str, values: str, instance: str = "a", **labels: str) -> tuple[str, str]:
    """Return a series of a replica; `values` are in promtool's notation."""
    every = {**TARGET, "instance": instance, **labels}
    return metric + "{" + ",".join(f'{k}="{v}"' for k, v in every.items()) + "}", values


def counter(*phases: tuple[int, float]) -> str:
    """Return the values of a counter that grows at a constant rate for a number of minutes."""
    parts, value = ["0"], 0.0
    for minutes, growth in phases:
        parts.append(f"{value + growth:.6f}{growth:+.6f}x{minutes - 1}")
        value += minutes * growth
    return " ".join(parts)


def firing(case: Case, folder: Path) -> bool:
    """Return whether promtool finds the alert of a case firing: once, or not at all."""
    rules = written_rules()
    (folder / "rules.yaml").write_text(rules)
    for outcome in (case.fires, not case.fires):
        samples = [{"labels": "{}", "value": 1}] if outcome else []
        query = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}})'
        test = {
            "rule_files": ["rules.yaml"],
            # Without it promtool evaluates in any order, and alerts see outdated recorded values.
            "group_eval_order": [group["name"] for group in yaml.safe_load(rules)["groups"]],
            "evaluation_interval": f"{case.seconds}s",
            "tests": [
                {
                    "interval": f"{min(case.seconds, 60)}s",
                    "input_series": [{"series": s, "values": v} for s, v in case.series],
                    "promql_expr_test": [
                        {
                            "expr": query,
                            "eval_time": f"{round(case.minutes * 60)}s",
                            "exp_samples": samples,
                        }
                    ],
                }
            ],
        }
        file = folder / "test.yaml"
        file.write_text(json.dumps(test))
        ran = subprocess.run(
            ["promtool", "test", "rules", str(file)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if ran.returncode == 0:
            return outcome
    raise AssertionError(f"neither fires once nor is silent:\n{ran.stdout}{ran.stderr}")


@cache
def written_rules() -> str:
    """Return the rules as the text of a Prometheus rule file."""
    rule = of_kind(render("monitoring.prometheusRule.enabled=true"), "PrometheusRule")
    return yaml.safe_dump(rule[f"{RELEASE}-api"]["spec"])


def rule_groups() -> list[dict[str, Any]]:
    rule = of_kind(render("monitoring.prometheusRule.enabled=true"), "PrometheusRule")
    groups: list[dict[str, Any]] = rule[f"{RELEASE}-api"]["spec"]["groups"]
    return groups


def rules(key: str) -> dict[str, dict[str, Any]]:
    """Return the rules that have `key`, which is `record` or `alert`, by name."""
    found = [rule for group in rule_groups() for rule in group["rules"] if key in rule]
    named = {rule[key]: rule for rule in found}
    assert len(named) == len(found)
    return named
