"""Figures as Markdown: a heading, a table, and the reference of its ratios."""

import sys
from collections.abc import Sequence


def write(text: str) -> None:
    """Write a line to standard output and flush it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Write a progress message to standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def number(value: float) -> str:
    """Format a figure with three significant digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 or not value else f"{value:.4f}"


def table(heading: str, note: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Make a table under a heading; numbers are rounded, texts are kept as they are."""
    texts = [[number(c) if isinstance(c, float) else str(c) for c in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    lines = [_line(columns, widths), _line(["-" * width for width in widths], widths)]
    lines += [_line(row, widths) for row in texts]
    return "\n".join(["", f"## {heading}", "", note, "", *lines])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return f"| {' | '.join(padded)} |"
