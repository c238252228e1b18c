"""axe-core, which looks for what keeps people from using a page."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SOURCE = Path(__file__).parents[2] / ".vendor" / "node_modules" / "axe-core" / "axe.min.js"

_RUN = """() => axe.run(document, {resultTypes: ["violations"]})"""


def findings(page: Page) -> list[str]:
    """Return a line for each serious or critical finding on a page as it is now.

    The debugger evaluates axe in the page, which the page's policy does not concern.
    """
    page.evaluate(SOURCE.read_text())
    result: dict[str, Any] = page.evaluate(_RUN)
    assert result["testEngine"]["name"] == "axe-core"
    return [
        f"{one['impact']} {one['id']}: {node['target']}: {node['failureSummary']}"
        for one in result["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
