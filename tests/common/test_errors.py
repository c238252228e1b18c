"""Error messages: names as they were sent, and one punctuation mark at the end."""

import pytest

from service.common.errors import (
    AliasNotFound,
    DataSetNotFound,
    InvalidRequest,
    ModelNotFound,
    ModelTypeNotFound,
    ServiceError,
    TrainingNotFound,
    VersionNotFound,
    VersionNotServable,
)

NAME = "back\\slash\u00a0break"


@pytest.mark.parametrize(
    "error",
    [
        ModelNotFound(NAME),
        VersionNotFound(NAME, 1),
        AliasNotFound("m", NAME),
        DataSetNotFound(NAME),
        TrainingNotFound(NAME),
        ModelTypeNotFound(NAME),
    ],
)
def test_a_name_is_quoted_as_it_was_sent(error: ServiceError) -> None:
    assert f"'{NAME}'" in str(error)


def test_a_long_name_is_shortened() -> None:
    assert f"'{'x' * 63}…'" in str(ModelNotFound("x" * 65))


@pytest.mark.parametrize(
    ("detail", "sentence"),
    [
        ("/a is unknown; did you mean 'b'?.", "/a is unknown; did you mean 'b'?"),
        ("/a is missing.", "/a is missing."),
        ("Is it?", "Is it?"),
    ],
)
def test_a_hint_ends_its_sentence(detail: str, sentence: str) -> None:
    assert str(InvalidRequest(detail)) == sentence


@pytest.mark.parametrize("reason", ["its files are missing", "its files are missing."])
def test_why_a_version_cannot_be_served_is_a_sentence_that_ends(reason: str) -> None:
    error = VersionNotServable("m", 1, reason)

    assert str(error) == "Model 'm' version 1 cannot be served: its files are missing."
    assert error.reason == reason
