"""Hypothesis strategies for schemas, and for bodies that match them or have errors."""

import json
from typing import Any, Literal

from hypothesis import strategies as st

from service.schema.contract import Feature, Schema

NAMES = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8),
    st.sampled_from(["a:b", 'q"uote', "back\\slash", "a/b~c", "tab\there", "é", "instances"]),
)


CATEGORIES = st.lists(
    st.one_of(st.text(max_size=6), st.sampled_from(["a:b", "\\", "::", ""])).filter(
        lambda text: "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


@st.composite
def features(draw: st.DrawFn, name: str) -> Feature:
    kind = draw(st.sampled_from(["number", "number", "text", "boolean"]))
    nullable = draw(st.booleans())
    if kind == "text":
        categories = tuple(draw(CATEGORIES))
        code = draw(st.integers(-1, len(categories) - 1))
        return Feature(name, "text", nullable, categories, code, example=categories[0])
    if kind == "boolean":
        return Feature(name, "boolean", nullable, example=True)
    high = draw(st.sampled_from([1.7976931348623157e308, 3.4e38, 10.0]))
    return Feature(name, "number", nullable, low=-high, high=high, example=1.5)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    unknown: Literal["refuse", "ignore"] = draw(st.sampled_from(["refuse", "ignore"]))
    return Schema(
        tuple(draw(features(name)) for name in names),
        ("no", "yes"),
        unknown_categories=unknown,
    )


CELLS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.sampled_from(["a:b", "::", [], {}, 1e300, -0.0, 5e-324]),
)


@st.composite
def bodies(draw: st.DrawFn, schema: Schema) -> bytes:
    """Return a body that is valid, or invalid in one or more ways."""

    def cell(feature: Feature) -> Any:
        if draw(st.integers(0, 9)) == 0:
            return draw(CELLS)
        if feature.nullable and draw(st.booleans()):
            return None
        if feature.type == "text":
            return draw(st.sampled_from(feature.categories))
        return draw(st.booleans() if feature.type == "boolean" else st.floats(-10, 10))

    rows: list[Any] = []
    arrays = draw(st.booleans())
    for _ in range(draw(st.integers(0, 3))):
        row: Any = [cell(feature) for feature in schema.features]
        if not arrays or draw(st.integers(0, 9)) == 0:
            row = {f.name: value for f, value in zip(schema.features, row, strict=True)}
            if draw(st.integers(0, 9)) == 0:
                row[draw(NAMES)] = draw(CELLS)
            if draw(st.integers(0, 9)) == 0:
                row.pop(draw(st.sampled_from(sorted(row))))
        rows.append(row)
    body: dict[str, Any] = {"instances": rows}
    if draw(st.booleans()):
        body["probabilities"] = draw(st.one_of(st.booleans(), CELLS))
    if draw(st.integers(0, 9)) == 0:
        body[draw(NAMES)] = draw(CELLS)
    text = json.dumps(body, ensure_ascii=draw(st.booleans()))
    mutation = draw(st.integers(0, 12))
    if mutation == 0:
        text = text[: draw(st.integers(0, len(text)))]
    elif mutation == 1 and "{" in text[1:]:
        # A duplicate key, written plainly or with escapes.
        at = text.index("{", 1) + 1
        key = json.dumps(schema.features[0].name)
        if draw(st.booleans()):
            key = '"' + "".join(f"\\u{ord(c):04x}" for c in schema.features[0].name[:1]) + key[2:]
        text = f"{text[:at]}{key}: 1, {text[at:]}"
    elif mutation == 2:
        text = text.replace("{", '{"instances": [], ', 1)
    return text.encode("utf-8", "surrogatepass")
