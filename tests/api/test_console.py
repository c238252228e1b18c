"""The console as it is served, and what its files may hold."""

import sys
from pathlib import Path

import pytest

from service.api.console import FOLDER, HEADERS
from tests.support.console_files import Console, breaches, document_of
from tests.support.server import Client
from tests.support.sockets import talk

CONSOLE = Console(FOLDER)
PAGE = CONSOLE.page()
OWN = list(CONSOLE.own(".html", ".css", ".js", ".svg"))
LARGEST_BYTES = 150_000
"""What a browser receives at most, compressed, before it has all of the console."""

ADDRESSES = ["/", "/docs", "/console/docs.js", "/console/vendor/uplot/uPlot.min.css"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_file_has_the_strict_headers_and_its_type(client: Client, address: str) -> None:
    response = client.get(address)

    assert response.status_code == 200
    assert HEADERS.items() <= dict(response.headers).items()
    kinds = {".js": "text/javascript", ".css": "text/css", "": "text/html"}
    assert response.headers["content-type"] == f"{kinds[Path(address).suffix]}; charset=utf-8"


def test_the_policy_allows_the_service_itself_and_nothing_inline() -> None:
    policy = HEADERS["content-security-policy"]

    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(
        policy.split("; ")
    )


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_file_that_the_browser_has_is_not_sent_again(client: Client, encoding: str) -> None:
    address, sent = "/console/vendor/htm/htm.umd.js", {"accept-encoding": encoding}
    first = client.get(address, headers=sent)

    again = client.get(address, headers={**sent, "if-none-match": first.headers["etag"]})
    other = client.get(address, headers={**sent, "if-none-match": '"other"'})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert HEADERS.items() <= dict(again.headers).items()
    assert (other.status_code, other.content) == (200, first.content)


def test_a_compressed_file_is_the_same_file_with_a_tag_of_its_own(client: Client) -> None:
    address = "/console/vendor/uplot/uPlot.iife.min.js"
    plain = client.get(address, headers={"accept-encoding": "gzip;q=0"})
    packed = client.get(address, headers={"accept-encoding": "br, gzip;q=0.5"})

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert (
        plain.content == packed.content == (FOLDER / "vendor/uplot/uPlot.iife.min.js").read_bytes()
    )
    assert packed.headers["etag"] != plain.headers["etag"]
    assert {one.headers["vary"] for one in (plain, packed)} == {"accept-encoding"}


@pytest.mark.parametrize("address", ADDRESSES)
def test_head_tells_what_get_would(client: Client, address: str) -> None:
    head, got = client.head(address), client.get(address)

    assert head.status_code == 200
    assert head.content == b""
    for name in ("etag", "content-type", "content-length", "content-encoding"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_can_be_changed_there(client: Client, method: str, address: str) -> None:
    response = client.request(method, address)

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    [
        *("", "nothing.js", "vendor", "vendor/", "index.html/", "vendor/SHA256SUMS"),
        *("vendor/htm/LICENSE", "../api/console.py", "..%2Fapi%2Fconsole.py", "%2e%2e/__init__.py"),
        *("vendor/../../api/console.py", "/etc/passwd", "%2Fetc%2Fpasswd", "index.html%00"),
        *("vendor%5C..%5Cindex.html", "INDEX.HTML", "./index.html", "vendor//htm/htm.umd.js"),
    ],
)
def test_nothing_but_the_files_of_the_console_is_there(client: Client, path: str) -> None:
    # Sent as it is: a client would resolve the dots.
    head = f"GET /console/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    reply = talk(client, head.encode())

    assert reply.startswith(b"HTTP/1.1 404 ")
    assert b"content-type: application/problem+json" in reply


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_console_is_open_where_the_api_is_not(locked: Client, address: str) -> None:
    assert locked.get(address).status_code == 200
    assert locked.get("/models").status_code == 401


def test_all_that_the_console_loads_is_there_and_small_in_sum(client: Client) -> None:
    modules = CONSOLE.reachable() | CONSOLE.later()
    files = {name for name in (*PAGE.scripts, *PAGE.links) if not name.startswith("data:")}
    sizes = {}
    for address in ("/", *sorted({*files, *PAGE.preloaded, *modules})):
        response = client.get(address, headers={"accept-encoding": "gzip"})
        assert response.status_code == 200, address
        sizes[address] = int(response.headers["content-length"])
    total = sum(sizes.values())

    # Shown by `pytest -rP`.
    sys.stdout.write(f"The console is {len(sizes)} files, {total:,} bytes compressed.\n")
    assert total <= LARGEST_BYTES, sizes


def test_every_module_that_the_page_needs_is_preloaded_and_no_other() -> None:
    assert set(PAGE.preloaded) | set(PAGE.modules) == CONSOLE.reachable()


def test_every_file_of_the_console_is_loaded_by_something() -> None:
    loaded = {*PAGE.scripts, *PAGE.links, *PAGE.modules, *CONSOLE.reachable(), *CONSOLE.later()}
    page_of_the_api = {"docs.js"}
    present = {path.relative_to(FOLDER).as_posix() for path in CONSOLE.own(".js", ".css")}

    assert present - page_of_the_api <= {name.removeprefix("/console/") for name in loaded}


def test_all_languages_have_the_same_texts() -> None:
    texts = CONSOLE.texts()

    assert {name: sorted(keys) for name, keys in texts.items()} == dict.fromkeys(
        texts, sorted(texts.get("en", ()))
    )
    assert all(len(set(keys)) == len(keys) for keys in texts.values())


@pytest.mark.parametrize("name", ["index.html", "docs.html"])
def test_no_page_holds_code_or_styles(name: str) -> None:
    assert document_of((FOLDER / name).read_text()).inline == []


@pytest.mark.parametrize("name", [path.relative_to(FOLDER).as_posix() for path in OWN])
def test_no_file_makes_html_of_text_or_names_another_host(name: str) -> None:
    assert breaches((FOLDER / name).read_text()) == []


# What the tests above would say of a console that breaks their rules.

_WRONG = """<!doctype html><html><head>
<link rel="modulepreload" href="/console/lib/unused.js"><style>p {}</style>
<script>go()</script><script type="module" src="/console/app.js"></script>
</head><body onload="go()" style="color: red"><a href="JavaScript:go()">x</a></body></html>
"""


@pytest.fixture
def wrong(tmp_path: Path) -> Console:
    (tmp_path / "lib").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "x.js").write_text("eval('https://example.org')")
    (tmp_path / "index.html").write_text(_WRONG)
    (tmp_path / "app.js").write_text(
        'import {\n  a,\n  b,\n} from "./lib/one.js";\nimport "./lib/two.js";\n'
        'const later = () => import("./texts/pt.js");\n'
    )
    (tmp_path / "lib" / "one.js").write_text(
        'export * from "../app.js";\nexport const a = 1, b = 2;'
    )
    (tmp_path / "lib" / "two.js").write_text("")
    (tmp_path / "texts" / "pt.js").write_text("export default {\n  'a b': `c: d`,\n};\n")
    return Console(tmp_path)


def test_code_within_a_page_is_found(wrong: Console) -> None:
    assert wrong.page().inline == ["style", "script", "body onload", "body style", "a href"]


def test_every_module_that_is_imported_is_found(wrong: Console) -> None:
    assert wrong.reachable() == {"/console/app.js", "/console/lib/one.js", "/console/lib/two.js"}
    assert wrong.later() == {"/console/texts/pt.js"}
    assert wrong.page().preloaded == ["/console/lib/unused.js"]
    assert wrong.texts() == {"pt": ["a b"]}
    assert [path.name for path in wrong.own(".js")] == ["app.js", "one.js", "two.js", "pt.js"]


def test_a_module_that_does_not_exist_is_found(wrong: Console) -> None:
    (wrong.folder / "lib" / "two.js").write_text('import { x } from "./three.js";')

    with pytest.raises(FileNotFoundError, match=r"three\.js"):
        wrong.reachable()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('html`<p style="color: red">`', "a style attribute"),
        ("node.innerHTML = text", "innerHTML or outerHTML"),
        ("html`<p dangerouslySetInnerHTML=${x}>`", "dangerouslySetInnerHTML"),
        ("document.write(x)", "document.write"),
        ("eval (x)", "eval"),
        ("new Function('x')", "eval"),
        ("setTimeout('go()', 1)", "eval"),
        ("fetch('https://example.org/x')", "https://example.org/x"),
        ("createElementNS('http://www.w3.org/1999/xhtml')", "http://www.w3.org/1999/xhtml"),
        ("createElementNS('http://www.w3.org/2000/svg', style={x}, setTimeout(go, 1))", None),
    ],
)
def test_what_a_module_may_not_hold_is_found(text: str, found: str | None) -> None:
    assert breaches(text) == ([] if found is None else [found])


@pytest.mark.parametrize(
    "text",
    [
        "export default { a: 1 };",
        "export default { a: f('x') };",
        "export default { a: 'x' 'y' };",
        "export const a = { a: 'x' };",
        "export default { a: { b: 'x' } };",
    ],
)
def test_texts_that_are_not_strings_by_name_are_refused(wrong: Console, text: str) -> None:
    (wrong.folder / "texts" / "en.js").write_text(text)

    with pytest.raises(ValueError, match="texts are"):
        wrong.texts()


def test_keys_of_texts_are_read_without_their_values(wrong: Console) -> None:
    (wrong.folder / "texts" / "en.js").write_text(
        "// one: two\nexport default {\n"
        "  a: \"x: y\", /* b: 'z' */ 'c.d': 'it\\'s',\n  e:\n    'long ' +\n    'text',\n};\n"
    )

    assert wrong.texts()["en"] == ["a", "c.d", "e"]
