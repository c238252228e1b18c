"""What the other tests rely on: a page that does what it must not do is noticed."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser

from service.api.console import HEADERS
from tests.browser.axe import findings
from tests.support.server import Client
from tests.support.visitor import Site, Visitor

_PAGES = {
    "/good": "<h1>Good</h1>",
    "/inline": "<h1>Bad</h1><script>document.title = 'ran'</script>",
    "/style": "<h1 style='color: red'>Bad</h1>",
    "/host": "<h1>Bad</h1><img alt='' src='http://127.0.0.2:9/x.png'>",
    "/error": "<h1>Bad</h1><script src='/error.js'></script>",
    "/says": "<h1>Bad</h1><script src='/says.js'></script>",
    "/missing": "<h1>Bad</h1><script src='/nothing.js'></script>",
    "/unlabelled": "<h1>Bad</h1><input>",
    "/error.js": "throw new Error('nobody catches this');",
    "/says.js": "console.warn('beware');",
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = _PAGES.get(self.path)
        self.send_response(200 if body is not None else 404)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        kind = "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8"
        self.send_header("content-type", kind)
        self.end_headers()
        if body is not None:
            page = f"<!doctype html><html lang=en><title>x</title><main>{body}</main></html>"
            self.wfile.write((body if self.path.endswith(".js") else page).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def bad_site() -> Iterator[Site]:
    """Pages under the console's policy that do what they must not do."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        with Client(base_url=address) as client:
            yield Site(address, client)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "noticed"),
    [
        ("/inline", "policy: script-src-elem inline"),
        ("/style", "policy: style-src-attr inline"),
        ("/host", "another host: http://127.0.0.2:9/x.png"),
        ("/error", "exception: nobody catches this"),
        ("/says", "console warning: beware"),
        ("/missing", "console error: Failed to load resource"),
    ],
)
def test_what_a_page_must_not_do_is_noticed(
    browser: Browser, bad_site: Site, path: str, noticed: str
) -> None:
    with Visitor(browser) as visitor:
        page = visitor.open(bad_site, path)
        page.wait_for_load_state("networkidle")

    assert [one for one in visitor.complaints() if noticed in one]
    visitor.expect(".")
    assert visitor.complaints() == []


def test_a_good_page_is_not_complained_of(visitor: Visitor, bad_site: Site) -> None:
    visitor.expect("favicon")
    page = visitor.open(bad_site, "/good")

    assert page.title() == "x"
    assert findings(page) == []


def test_axe_runs_under_the_policy_and_finds_a_field_without_a_label(
    visitor: Visitor, bad_site: Site
) -> None:
    visitor.expect("favicon")
    page = visitor.open(bad_site, "/unlabelled")

    (finding,) = findings(page)
    assert finding.startswith("critical label: ['input']")
