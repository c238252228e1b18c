"""Somebody who opens pages, and notes whatever a page must not do."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, Self, TypedDict, Unpack
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.support.server import Client


@dataclass(frozen=True, slots=True)
class Site:
    """A running service: where it is, and a client of it."""

    address: str
    client: Client


Scheme = Literal["light", "dark"]
SCHEMES: Sequence[Scheme] = ("light", "dark")

_SECONDS = 10
"""How long Playwright waits for anything."""

_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


class Look(TypedDict, total=False):
    """How a page is looked at; by default at 1280 by 800, in light, in English."""

    scheme: Scheme
    width: int
    locale: str


class Visitor:
    """Opens pages in a browser, each in a context of its own, until the block ends."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts = ExitStack()
        self._seen: list[str] = []
        self._expected: list[str] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all pages."""
        self.leave()

    def leave(self) -> None:
        """Close all pages, which else would go on asking a service that ends."""
        self._contexts.close()

    def open(self, site: Site | str, address: str, **look: Unpack[Look]) -> Page:
        """Open an address of a site, or of the service at a URL."""
        base = site if isinstance(site, str) else site.address
        context = self._browser.new_context(
            base_url=base,
            color_scheme=look.get("scheme", "light"),
            locale=look.get("locale", "en-US"),
            viewport={"width": look.get("width", 1280), "height": 800},
            reduced_motion="reduce",
        )
        self._contexts.callback(context.close)
        context.set_default_timeout(_SECONDS * 1000)
        self._watch(context, urlsplit(base).netloc)
        page = context.new_page()
        page.goto(f"/{address}" if address.startswith("#") else address)
        return page

    def expect(self, pattern: str) -> None:
        """Take what matches for what the test causes, such as an error of the service."""
        self._expected.append(pattern)

    def complaints(self) -> list[str]:
        """Return what pages did that they must not do."""
        return [
            one for one in self._seen if not any(re.search(wish, one) for wish in self._expected)
        ]

    def _watch(self, context: BrowserContext, host: str) -> None:
        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                place = message.location["url"]
                self._seen.append(f"console {message.type}: {message.text} ({place})")

        def on_request(request: Request) -> None:
            asked = urlsplit(request.url)
            if asked.scheme not in ("data", "blob") and asked.netloc != host:
                self._seen.append(f"another host: {request.url}")

        context.on("console", on_console)
        context.on("request", on_request)
        context.on("weberror", lambda error: self._seen.append(f"exception: {error.error}"))
        context.expose_function(
            "reportViolation", lambda text: self._seen.append(f"policy: {text}")
        )
        context.add_init_script(_REPORT_VIOLATIONS)
