"""How the columns of a file are read: what `/train` and `/datasets` take beside the rows."""

import codecs
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.common.errors import quoted
from service.schema.contract import FeatureType

MARKERS = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A", "\\N", "?", "-", ".")
"""Texts that usually mean a missing value."""

_CODECS = (
    *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "ascii", "mac-roman", "koi8-r", "koi8-u"),
    *("big5", "gb18030", "gbk", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp437", "cp850"),
    *(f"cp{number}" for number in (866, 874, *range(1250, 1259))),
    *(f"iso8859-{number}" for number in range(1, 17) if number != 12),
)
_ENCODINGS = {codecs.lookup(name).name for name in _CODECS}

Text = Annotated[str, Field(max_length=256)]
ColumnName = Annotated[str, AfterValidator(str.strip)]
"""A column's name, trimmed as those in the file are."""


def codec_of(encoding: str) -> str:
    """Return Python's name of a text encoding; raises ValueError for one that is not known."""
    try:
        name = codecs.lookup(encoding.strip()).name if encoding.isascii() else ""
    except (LookupError, ValueError):
        name = ""
    if name == "utf-8-sig":
        return "utf-8"
    if name not in _ENCODINGS:
        raise ValueError(
            f"is {quoted(encoding, 40)}, which is not known here; utf-8, utf-16, windows-1252 and "
            "iso-8859-1 are some that are"
        )
    return name


class FileOptions(BaseModel):
    """What the reader of a file is told of its columns."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False
    )

    exclude: Annotated[list[ColumnName], Field(max_length=10_000)] = Field(
        [], description="columns to leave out"
    )
    types: Annotated[dict[ColumnName, FeatureType], Field(max_length=10_000)] = Field(
        {}, description="a type for each column that is not to be guessed"
    )
    missing: Annotated[list[Text], Field(max_length=100)] | None = Field(
        None,
        description="texts that mean a missing value, in every column; else "
        f"{' '.join(MARKERS)} do so in columns of numbers and of booleans",
    )
    encoding: Annotated[str, AfterValidator(codec_of)] = Field(
        "utf-8", description="of a CSV file, such as windows-1252"
    )


NO_OPTIONS = FileOptions()
"""What a file is read with of which its owner says nothing."""
