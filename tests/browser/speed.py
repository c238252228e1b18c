"""How soon a page of the console can be used: `python -m tests.browser.speed`.

Each page is opened several times in a fresh browser context, so that nothing is cached: the time
from its address to its heading, and to all that it shows by itself.
"""

import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.browser.addresses import ADDRESSES
from tests.browser.settling import settle
from tests.browser.sites import open_site
from tests.support.chromium import ChromiumMissing, chromium
from tests.support.visitor import Site, Visitor

ROUNDS = 5
_NOW = "() => performance.now()"
_REQUESTS = "() => performance.getEntriesByType('resource').length"


def main() -> int:
    """Print a line for each page; return 0 if all could be measured."""
    try:
        with (
            chromium() as browser,
            tempfile.TemporaryDirectory() as data,
            open_site(Path(data)) as site,
            Visitor(browser) as visitor,
        ):
            sys.stdout.write(
                "| page | heading, ms | complete at most, ms | requests |\n|---|---|---|---|\n"
            )
            for address in ADDRESSES:
                sys.stdout.write(
                    _line(address, [_times(visitor, site, address) for _ in range(ROUNDS)])
                )
    except ChromiumMissing as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _times(visitor: Visitor, site: Site, address: str) -> tuple[float, float, int]:
    page = visitor.open(site, address)
    page.wait_for_selector("h1")
    heading = float(page.evaluate(_NOW))
    settle(page)
    found = heading, float(page.evaluate(_NOW)), int(page.evaluate(_REQUESTS))
    page.context.close()
    return found


def _line(address: str, found: Sequence[tuple[float, float, int]]) -> str:
    headings, complete, requests = zip(*found, strict=True)
    spread = f"{min(headings):.0f} to {max(headings):.0f}"
    heading = f"{statistics.median(headings):.0f} ({spread})"
    return f"| `{address}` | {heading} | {statistics.median(complete):.0f} | {max(requests)} |\n"


if __name__ == "__main__":
    sys.exit(main())
