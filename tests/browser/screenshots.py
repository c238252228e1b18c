"""Takes a picture of every page of the console: `python -m tests.browser.screenshots FOLDER`.

Each page is taken at 1280 pixels in both colour schemes, and at 360 pixels in light.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.browser.addresses import ADDRESSES, file_name
from tests.browser.settling import settle
from tests.browser.sites import open_site
from tests.support.chromium import ChromiumMissing, chromium
from tests.support.visitor import Look, Visitor

LOOKS: Sequence[Look] = (
    {"scheme": "light", "width": 1280},
    {"scheme": "dark", "width": 1280},
    {"scheme": "light", "width": 360},
)


def take(folder: Path) -> list[Path]:
    """Take every picture; raises ChromiumMissing."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    with (
        chromium() as browser,
        tempfile.TemporaryDirectory() as data,
        open_site(Path(data)) as site,
        Visitor(browser) as visitor,
    ):
        for address in ADDRESSES:
            for look in LOOKS:
                page = visitor.open(site, address, **look)
                settle(page)
                name = f"{file_name(address)}-{look['width']}-{look['scheme']}.png"
                page.screenshot(path=folder / name, full_page=True)
                page.context.close()
                taken.append(folder / name)
    return taken


def main(arguments: Sequence[str]) -> int:
    """Take the pictures into the folder that is named; return 0 if all were taken."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tests.browser.screenshots FOLDER\n")
        return 2
    try:
        taken = take(Path(arguments[0]))
    except ChromiumMissing as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{len(taken)} pictures in {arguments[0]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
