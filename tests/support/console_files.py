"""What the console's files say, read without a browser: what they load, what they may not do."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

_STATIC = re.compile(
    r"""^\s*(?:import|export)\b(?:[\w\s{},*$]*?\bfrom)?\s*["']([^"'\n]+)["']""", re.MULTILINE
)
_DYNAMIC = re.compile(r"""\bimport\(\s*["']([^"'\n]+)["']\s*\)""")
_TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*|/\*.*?\*/)|(?P<name>[\w$]+)|(?P<mark>[{}:,;+])"""
    r"""|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)""",
    re.DOTALL,
)
_LETTERS = {"name": "x", "text": "s"}
_ADDRESS = re.compile(r"""https?:[^\s"'`)]*""")

FORBIDDEN: Mapping[str, "re.Pattern[str]"] = {
    "a style attribute": re.compile(r"""\bstyle=["'\\]"""),
    "innerHTML or outerHTML": re.compile(r"\b(?:inner|outer)HTML\b|\binsertAdjacentHTML\b"),
    "dangerouslySetInnerHTML": re.compile(r"\bdangerouslySetInnerHTML\b"),
    "document.write": re.compile(r"\bdocument\.write"),
    "eval": re.compile(r"""\beval\s*\(|\bnew\s+Function\b|\bset(?:Timeout|Interval)\(\s*["'`]"""),
}
"""What no module may hold: the policy forbids some of it, and text of users must stay text."""

OWN_NAMESPACE = "http://www.w3.org/2000/svg"
"""The one address in modules: the name of SVG, which nobody fetches."""


def breaches(text: str) -> list[str]:
    """Return a name for each thing that a module, a style sheet or a page may not hold."""
    found = [name for name, pattern in FORBIDDEN.items() if pattern.search(text)]
    return [*found, *(one for one in _ADDRESS.findall(text) if one != OWN_NAMESPACE)]


@dataclass
class Document(HTMLParser):
    """What a page loads, and the code that stands within it."""

    scripts: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    preloaded: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    """The other links: style sheets and icons."""
    inline: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a script, a link, or code that stands in the page."""
        given = {name: value or "" for name, value in attrs}
        if tag == "script" and "src" in given:
            (self.modules if given.get("type") == "module" else self.scripts).append(given["src"])
        elif tag in ("script", "style"):
            self.inline.append(tag)
        elif tag == "link":
            preload = given.get("rel") == "modulepreload"
            (self.preloaded if preload else self.links).append(given["href"])
        for name, value in given.items():
            if name == "style" or name.startswith("on") or value.lower().startswith("javascript:"):
                self.inline.append(f"{tag} {name}")


def document_of(html: str) -> Document:
    """Return what a page loads and holds."""
    parser = Document()
    parser.feed(html)
    parser.close()
    return parser


def static_imports(module: str, text: str) -> list[str]:
    """Return the addresses of the modules that a module at the address `module` needs at once."""
    return [_resolved(module, name) for name in _STATIC.findall(text)]


def dynamic_imports(module: str, text: str) -> list[str]:
    """Return the addresses of the modules that it may load later."""
    return [_resolved(module, name) for name in _DYNAMIC.findall(text)]


def _resolved(module: str, name: str) -> str:
    if not name.startswith("."):
        return name
    parts: list[str] = []
    for part in (PurePosixPath(module).parent / name).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return str(PurePosixPath(*parts))


@dataclass(frozen=True)
class Console:
    """A folder of files that is served below `/console/`."""

    folder: Path

    def text(self, address: str) -> str:
        """Return a file by its address; raises FileNotFoundError, as for one that is not ours."""
        if not address.startswith("/console/"):
            raise FileNotFoundError(address)
        return (self.folder / address.removeprefix("/console/")).read_text()

    def page(self) -> Document:
        """Return the page that loads all others."""
        return document_of((self.folder / "index.html").read_text())

    def own(self, *endings: str) -> Iterator[Path]:
        """Yield the files with these endings that are ours."""
        for path in sorted(self.folder.rglob("*")):
            if path.suffix in endings and "vendor" not in path.relative_to(self.folder).parts:
                yield path

    def reachable(self) -> set[str]:
        """Return the modules that the page needs before it can show anything."""
        found: set[str] = set()
        waiting = list(self.page().modules)
        while waiting:
            module = waiting.pop()
            if module not in found:
                found.add(module)
                waiting += static_imports(module, self.text(module))
        return found

    def later(self) -> set[str]:
        """Return the modules that a module may load when it is needed."""
        prefix = "/console/"
        return {
            name
            for path in self.own(".js")
            for name in dynamic_imports(
                prefix + path.relative_to(self.folder).as_posix(), path.read_text()
            )
        }

    def texts(self) -> dict[str, list[str]]:
        """Return the keys of each language's texts, in their order."""
        return {path.stem: keys_of(path.read_text()) for path in self.folder.glob("texts/*.js")}


def keys_of(text: str) -> list[str]:
    """Return the keys of a module that is `export default {…};`, each with a string.

    Raises ValueError for a module of any other form.
    """
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"texts are strings by name, not {text[position : position + 40]!r}")
        position = match.end()
        if match.lastgroup != "blank":
            tokens.append((match.lastgroup or "", match[0]))
    shape = "".join(_LETTERS.get(kind, token) for kind, token in tokens)
    if not re.fullmatch(r"xx\{(?:[xs]:s(?:\+s)*,)*(?:[xs]:s(?:\+s)*)?\};?", shape):
        raise ValueError(f'texts are `export default {{key: "text", …}};`, not {shape[:80]}')
    return [
        token.strip("\"'")
        for (_, token), (_, following) in itertools.pairwise(tokens)
        if following == ":"
    ]
