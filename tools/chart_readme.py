"""Writes the chart's README from the comments in its values: `python -m tools.chart_readme`."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "charts/mlops-desafio"

_KEY = re.compile(r"^( *)([\w-]+):")
_INDENT = 2
_TABLE = ("| value | default | is |", "|---|---|---|")

_HEAD = """# mlops-desafio

{description}
This chart brings up the API (two pods), an MLflow server, Postgres and MinIO, each of which can be
replaced by one of your own. It needs Kubernetes {kubernetes} and no other chart, operator or custom
resource. How it is run in production: [the runbook](../../docs/runbook.md),
[backups](../../docs/backup.md), [reliability](../../docs/reliability.md),
[security](../../SECURITY.md).

```console
$ helm install desafio charts/mlops-desafio --wait \\
    --set image.repository=registry.example.com/mlops-desafio
$ helm test desafio --logs
```

A value that is misspelt or out of its bounds is refused by name (`values.schema.json`). This page
is made from `values.yaml` by `make chart-readme`.
"""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the chart."""

    path: str
    default: Any
    about: str
    """What the comment above it says."""
    is_part: bool = False
    """Whether it holds others: its comment does not begin with `--`."""


def values(text: str) -> Iterator[Value]:
    """Return what has a comment above it, in the order of the file."""
    defaults = yaml.safe_load(text)
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if (stripped := line.strip()).startswith("#"):
            comment.append(stripped.lstrip("#").strip())
            continue
        if (found := _KEY.match(line)) is not None:
            path = [*path[: len(found[1]) // _INDENT], found[2]]
            if about := " ".join(comment):
                is_part = not about.startswith("-- ")
                yield Value(".".join(path), _at(defaults, path), about.removeprefix("-- "), is_part)
        comment = []


def _at(defaults: Any, path: list[str]) -> Any:
    for key in path:
        defaults = defaults[key]
    return defaults


def readme() -> str:
    """Return the page."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    lines = [
        _HEAD.format(
            description=chart["description"],
            kubernetes=chart["kubeVersion"].removeprefix(">=").removesuffix(".0-0"),
        )
    ]
    lines += ["## All parts", "", *_TABLE]
    for one in values((CHART / "values.yaml").read_text()):
        if one.is_part and "." not in one.path:
            lines += [f"## {one.path}", "", one.about, "", *_TABLE]
            continue
        default = "" if one.is_part else f"`{_cell(json.dumps(one.default, ensure_ascii=False))}`"
        lines.append(f"| `{one.path}` | {default} | {_cell(one.about)} |")
    return _spaced(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _spaced(lines: list[str]) -> str:
    """Join lines, with an empty one before each heading."""
    text = "\n".join(lines)
    return re.sub(r"\n+(## )", r"\n\n\1", text) + "\n"


def main() -> int:
    """Write the page."""
    (CHART / "README.md").write_text(readme())
    return 0


if __name__ == "__main__":
    sys.exit(main())
