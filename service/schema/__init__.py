"""The contract of a version, and what is compiled from it: decoder, explanation, example."""

from service.schema.contract import (
    Feature,
    FeatureType,
    Label,
    Schema,
    decode,
    encode,
    spelling,
)

__all__ = ["Feature", "FeatureType", "Label", "Schema", "decode", "encode", "spelling"]
