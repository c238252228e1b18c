"""What the headers of a body say of it: its length, encoding and charset."""

from service.common.errors import UnsupportedMediaType, clip


def check_encoding(encoding: str) -> None:
    """Raise UnsupportedMediaType for another encoding than gzip, which is inflated before this."""
    if encoding.strip().lower() not in ("", "identity"):
        accepted = ["gzip", "or the body as it is"]
        raise UnsupportedMediaType(f"Content-Encoding {clip(encoding, 40)!r}", accepted)


def check_charset(kind: str, parameters: str) -> None:
    """Raise UnsupportedMediaType for JSON that is said to be in another charset than UTF-8."""
    if kind != "application/json":
        return
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(f"JSON in {clip(charset)!r}", ["JSON in UTF-8"])


def declared_bytes(length: bytes | None) -> int:
    """Return the length of a body by its Content-Length; 0 where there is none."""
    return int(length[:20]) if length is not None and length.isdigit() else 0
