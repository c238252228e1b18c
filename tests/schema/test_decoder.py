"""The compiled decoder and the slower one that explains errors must always agree."""

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.common.errors import BodyTooLarge, InvalidInput
from service.schema.contract import Feature, Schema, decode, encode
from service.schema.decoder import Decoder, Limits
from service.schema.example import example
from tests.support.bodies import bodies, schemas

LIMITS = Limits(rows=20, depth=32)


def _outcome(body: bytes, decode_it: Any) -> Any:
    try:
        matrix, probabilities = decode_it(body)
    except InvalidInput as error:
        return ("invalid", error.problems)
    except BodyTooLarge:
        return ("too large", ())
    return ("ok", matrix.tobytes(), matrix.shape, probabilities)


@settings(deadline=None)
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
    # msgspec searches for a key from the last match: reversed order costs quadratic time.
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


def test_explaining_is_fast_where_it_is_done_at_once() -> None:
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
