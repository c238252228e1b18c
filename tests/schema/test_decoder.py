"""The compiled decoder against the slow explanation: they must never disagree."""

import json
import time
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.common.errors import BodyTooLarge, InvalidInput
from service.schema.contract import Feature, Schema, decode, encode
from service.schema.decoder import Decoder, Limits
from service.schema.example import example

LIMITS = Limits(rows=20, depth=32)

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
    """Return a body that is right, or wrong in one or more ways."""

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
        # A key that comes twice, plainly or in escapes.
        at = text.index("{", 1) + 1
        key = json.dumps(schema.features[0].name)
        if draw(st.booleans()):
            key = '"' + "".join(f"\\u{ord(c):04x}" for c in schema.features[0].name[:1]) + key[2:]
        text = f"{text[:at]}{key}: 1, {text[at:]}"
    elif mutation == 2:
        text = text.replace("{", '{"instances": [], ', 1)
    return text.encode("utf-8", "surrogatepass")


def _outcome(body: bytes, decode_it: Any) -> Any:
    try:
        matrix, probabilities = decode_it(body)
    except InvalidInput as error:
        return ("invalid", error.problems)
    except BodyTooLarge:
        return ("too large", ())
    return ("ok", matrix.tobytes(), matrix.shape, probabilities)


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_the_compiled_decoder_and_the_explanation_agree(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    body = data.draw(bodies(schema))

    decoder = Decoder(schema, LIMITS)

    fast = _outcome(body, decoder.decode)
    slow = _outcome(body, decoder.explain)

    assert fast == slow


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_the_short_way_agrees_with_the_decoder_wherever_it_answers(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    body = data.draw(bodies(schema))
    decoder = Decoder(schema, LIMITS)

    found = decoder.one(body)

    if found is not None:
        matrix, probabilities = decoder.decode(body)
        assert np.array_equal(matrix, [found[0]], equal_nan=True)
        assert found[1] == probabilities


@settings(max_examples=300, deadline=None)
@given(schemas())
def test_the_example_is_accepted_and_the_schema_survives_its_file(schema: Schema) -> None:
    body = json.dumps(example(schema)).encode()

    matrix, _ = Decoder(schema, LIMITS).decode(body)

    assert matrix.shape == (1, len(schema.features))
    assert decode(encode(schema)) == schema


def test_numbers_are_read_to_the_last_bit() -> None:
    decoder = Decoder(Schema((Feature("x", "number"),), ("a", "b")), LIMITS)

    for text in ("9007199254740993", "1e23", "0.1", "123456789012345678901234567890", "4.35e-320"):
        matrix, _ = decoder.decode(b'{"instances": [{"x": %s}]}' % text.encode())
        assert matrix[0, 0] == float(text)


@pytest.mark.parametrize("position", [0, 1])
def test_a_feature_that_comes_twice_is_refused_whatever_its_place(position: int) -> None:
    decoder = Decoder(Schema((Feature("x", "number"), Feature("y", "number")), ("a", "b")), LIMITS)
    pairs = ['"x": 1', '"y": 2']
    pairs.insert(position, '"x": 1')

    with pytest.raises(InvalidInput) as caught:
        decoder.decode(b'{"instances": [{%s}]}' % ", ".join(pairs).encode())

    assert [(p.pointer, p.message) for p in caught.value.problems] == [
        ("/instances/0/x", "is there twice")
    ]


def test_wide_schemas_are_decoded_in_time_that_grows_with_their_width_alone() -> None:
    # msgspec looks keys up from where the last was found, so a turned order costs their square.
    names = [f"feature {index}" for index in range(2000)]
    decoder = Decoder(Schema(tuple(Feature(n, "number") for n in names), ("a", "b")), LIMITS)
    turned = json.dumps({"instances": [dict.fromkeys(reversed(names), 1.0)]}).encode()

    matrix, _ = decoder.decode(turned)

    assert matrix.shape == (1, 2000)


def test_what_is_missing_costs_no_more_than_what_was_sent() -> None:
    features = tuple(Feature(f"feature {index}", "number") for index in range(9000))
    decoder = Decoder(Schema(features, ("a", "b")), Limits())
    body = json.dumps({"instances": [{}] * 9999 + [{"feature 1": 1, "featuer 2": True}]}).encode()

    start = time.process_time()
    with pytest.raises(InvalidInput) as caught:
        decoder.decode(body)

    assert time.process_time() - start < 10
    assert str(caught.value).startswith("90000000 problems in 10000 of 10000 instances: ")
    assert len(caught.value.problems) == 20


def test_the_slow_way_is_short_where_it_says_so() -> None:
    names = [f"a rather long name of feature {index}" for index in range(64)]
    decoder = Decoder(Schema(tuple(Feature(n, "number") for n in names), ("a", "b")), Limits())
    small = b'{"instances":[%s]}' % b",".join([b"{}"] * 330)
    unknown = json.dumps({"instances": [{name[1:] + "x": 1 for name in names[:20]}]}).encode()

    for body in (small, unknown):
        assert decoder.explains_at_once(body)
        start = time.thread_time()
        for _ in range(10):
            with pytest.raises(InvalidInput):
                decoder.explain(body)
        assert (time.thread_time() - start) / 10 < 0.005

    assert not decoder.explains_at_once(b" " * 55_000)
