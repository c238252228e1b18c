"""The protocol's messages, as classes made from a table: no compiler, and nothing generated.

Names and numbers are the protocol's, as Triton, KServe and MLServer have them; messages that no
method here uses are left out, and so are fields that it neither reads nor writes. Messages stand
beside one another that the protocol nests, as that changes nothing on the wire.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "inference"

_Fields = Mapping[int, str]
"""By number: the type and the name, and before them `repeated` or `oneof`."""

_NAMED: _Fields = {1: "string name", 2: "string version"}
# Maps, which are lists of pairs on the wire. Read as such they take linear time, and a key that is
# there twice is seen.
_PARAMETERS = "repeated InferParameterEntry parameters"
_REPOSITORY_PARAMETERS = "repeated ModelRepositoryParameterEntry parameters"

_MESSAGES: Mapping[str, _Fields] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {1: "bool live"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {1: "bool ready"},
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": {1: "bool ready"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {**_NAMED, 3: "repeated string extensions"},
    "ModelMetadataRequest": _NAMED,
    "ModelMetadataResponse": {
        1: "string name",
        2: "repeated string versions",
        3: "string platform",
        4: "repeated TensorMetadata inputs",
        5: "repeated TensorMetadata outputs",
        6: _PARAMETERS,
    },
    "TensorMetadata": {
        1: "string name",
        2: "string datatype",
        3: "repeated int64 shape",
        4: _PARAMETERS,
    },
    "InferParameter": {
        1: "oneof bool bool_param",
        2: "oneof int64 int64_param",
        3: "oneof string string_param",
        4: "oneof double double_param",
        5: "oneof uint64 uint64_param",
    },
    "InferParameterEntry": {1: "string key", 2: "InferParameter value"},
    "InferTensorContents": {
        1: "repeated bool bool_contents",
        2: "repeated int32 int_contents",
        3: "repeated int64 int64_contents",
        4: "repeated uint32 uint_contents",
        5: "repeated uint64 uint64_contents",
        6: "repeated float fp32_contents",
        7: "repeated double fp64_contents",
        8: "repeated bytes bytes_contents",
    },
    # The first fields of ModelInferRequest: whom it is for, without a look at its tensors.
    "InferTarget": {1: "string model_name", 2: "string model_version"},
    "ModelInferRequest": {
        1: "string model_name",
        2: "string model_version",
        3: "string id",
        4: _PARAMETERS,
        5: "repeated InferInputTensor inputs",
        6: "repeated InferRequestedOutputTensor outputs",
        7: "repeated bytes raw_input_contents",
    },
    "InferInputTensor": {
        1: "string name",
        2: "string datatype",
        3: "repeated int64 shape",
        4: _PARAMETERS,
        5: "InferTensorContents contents",
    },
    "InferRequestedOutputTensor": {1: "string name", 2: _PARAMETERS},
    "ModelInferResponse": {
        1: "string model_name",
        2: "string model_version",
        3: "string id",
        5: "repeated InferOutputTensor outputs",
        6: "repeated bytes raw_output_contents",
    },
    "InferOutputTensor": {
        1: "string name",
        2: "string datatype",
        3: "repeated int64 shape",
        5: "InferTensorContents contents",
    },
    "ModelConfigRequest": _NAMED,
    "ModelConfigResponse": {1: "ModelConfig config"},
    "ModelConfig": {
        1: "string name",
        2: "string platform",
        3: "ModelVersionPolicy version_policy",
        4: "int32 max_batch_size",
        5: "repeated ModelInput input",
        6: "repeated ModelOutput output",
        17: "string backend",
    },
    "ModelVersionPolicy": {1: "oneof LatestVersions latest"},
    "LatestVersions": {1: "uint32 num_versions"},
    "ModelInput": {1: "string name", 2: "enum data_type", 4: "repeated int64 dims"},
    "ModelOutput": {1: "string name", 2: "enum data_type", 3: "repeated int64 dims"},
    "ModelRepositoryParameter": {
        1: "oneof bool bool_param",
        2: "oneof int64 int64_param",
        3: "oneof string string_param",
        4: "oneof bytes bytes_param",
    },
    "ModelRepositoryParameterEntry": {1: "string key", 2: "ModelRepositoryParameter value"},
    "RepositoryIndexRequest": {1: "string repository_name", 2: "bool ready"},
    "RepositoryIndexResponse": {1: "repeated ModelIndex models"},
    "ModelIndex": {1: "string name", 2: "string version", 3: "string state", 4: "string reason"},
    # KServe has the model's name first, and nothing else.
    "RepositoryModelLoadRequest": {
        1: "string repository_name",
        2: "string model_name",
        3: _REPOSITORY_PARAMETERS,
    },
    "RepositoryModelLoadResponse": {1: "string model_name", 2: "bool isLoaded"},
    "RepositoryModelUnloadRequest": {
        1: "string repository_name",
        2: "string model_name",
        3: _REPOSITORY_PARAMETERS,
    },
    "RepositoryModelUnloadResponse": {1: "string model_name", 2: "bool isUnloaded"},
    # Of grpc.health.v1.
    "HealthCheckRequest": {1: "string service"},
    "HealthCheckResponse": {1: "enum status"},
}

DATA_TYPES: Mapping[str, int] = {
    "TYPE_BOOL": 1,
    "TYPE_UINT8": 2,
    "TYPE_UINT16": 3,
    "TYPE_UINT32": 4,
    "TYPE_UINT64": 5,
    "TYPE_INT8": 6,
    "TYPE_INT16": 7,
    "TYPE_INT32": 8,
    "TYPE_INT64": 9,
    "TYPE_FP16": 10,
    "TYPE_FP32": 11,
    "TYPE_FP64": 12,
    "TYPE_STRING": 13,
}
"""The datatypes in a model's configuration."""

SERVING, NOT_SERVING = 1, 2
"""The states of grpc.health.v1."""

_Field = descriptor_pb2.FieldDescriptorProto


def _described() -> Any:
    """Return the description of all messages."""
    file = descriptor_pb2.FileDescriptorProto(
        name="inference.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, text in fields.items():
            _add_field(message, number, *text.split())
    return file


def _add_field(message: Any, number: int, *words: str) -> None:
    *kinds, kind, name = words
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kinds == ["repeated"]:
        field.label = _Field.LABEL_REPEATED
    elif kinds == ["oneof"]:
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    if kind == "enum":
        # An enum is an int32 on the wire, and its names are not sent.
        kind = "int32"
    simple = getattr(_Field, f"TYPE_{kind.upper()}", None)
    if simple is not None:
        field.type = simple
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"


# A pool of its own: another library of the process may have the protocol's messages, too.
_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(_described().SerializeToString())


def message(name: str) -> Any:
    """Return the class of a message."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
