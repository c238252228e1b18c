"""Chromium as the machine has it, driven by Playwright, with nothing that calls home."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

_CLOSED = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


class ChromiumMissing(Exception):
    """There is no Chromium on this machine."""


def executable() -> str:
    """Return Chromium's path; raises ChromiumMissing."""
    path = shutil.which("chromium")
    if path is None:
        raise ChromiumMissing(
            "These tests need Chromium as `chromium` on the PATH: apt-get install chromium."
        )
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium while the block runs; raises ChromiumMissing."""
    path = executable()
    # Chromium's sandbox does not start as root, which containers of continuous integration are.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*_CLOSED, *sandbox])
        try:
            yield browser
        finally:
            browser.close()
