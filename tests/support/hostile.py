"""Artifacts that try to run code or to harm their reader, in the layout that MLflow stores.

Code that one of them managed to run would write the file `canary`.
"""

import gzip
import io
import json
import operator
import os
import pickle
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import skops.io
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

Files = Mapping[str, bytes]

IRIS = load_iris()
MORE_THAN_ALLOWED = 512 * 2**20 + 1


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.command = f"touch {canary}"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def mlmodel(flavor: str, **keys: object) -> bytes:
    """Return an MLmodel file of one flavor; JSON is YAML too."""
    return json.dumps({"flavors": {flavor: keys}}).encode()


def _sklearn(data: bytes, form: str, name: str = "model.bin") -> Files:
    return {"MLmodel": mlmodel("sklearn", pickled_model=name, serialization_format=form),
            name: data}  # fmt: skip


def _fitted() -> Any:
    return LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target)


# Pickles


def a_pickle(canary: Path) -> Files:
    return _sklearn(pickle.dumps(Payload(canary)), "pickle")


def a_cloudpickle(canary: Path) -> Files:
    import cloudpickle  # type: ignore[import-untyped]

    return _sklearn(cloudpickle.dumps(Payload(canary)), "cloudpickle")


def a_joblib_file(canary: Path) -> Files:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(Payload(canary), buffer, compress=3)
    return _sklearn(buffer.getvalue(), "joblib", "model.joblib")


def a_pickle_of_no_known_form(canary: Path) -> Files:
    return _sklearn(gzip.compress(pickle.dumps(Payload(canary))), "SKOPS ")


def a_pickle_that_claims_to_be_skops(canary: Path) -> Files:
    return _sklearn(pickle.dumps(Payload(canary)), "skops")


def a_pickle_that_claims_to_be_onnx(canary: Path) -> Files:
    return {"MLmodel": mlmodel("onnx", data="model.onnx"),
            "model.onnx": pickle.dumps(Payload(canary))}  # fmt: skip


# Files of skops


def _skops(data: bytes) -> Files:
    return _sklearn(data, "skops", "model.skops")


def _rezipped(
    change: Callable[[str, bytes], bytes], more: Mapping[str | zipfile.ZipInfo, bytes] | None = None
) -> bytes:
    """Return a fitted classifier's skops file with entries changed and added."""
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(_fitted())))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
        for entry, data in (more or {}).items():
            target.writestr(entry, data)
    return out.getvalue()


def with_node(node: Mapping[str, Any], protocol: int | None = None) -> bytes:
    """Return a fitted classifier's skops file with one attribute replaced by this node."""

    def change(name: str, data: bytes) -> bytes:
        if name != "schema.json":
            return data
        schema = json.loads(data)
        schema["content"]["content"]["extra"] = node
        if protocol is not None:
            schema["protocol"] = protocol
        return json.dumps(schema).encode()

    return _rezipped(change)


def encoded(value: object) -> dict[str, Any]:
    return {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode",
            "content": json.dumps(value), "is_json": True}  # fmt: skip


def _tuple(*nodes: Mapping[str, Any]) -> dict[str, Any]:
    return _node("TupleNode", "builtins", "tuple", content=list(nodes))


def _dict(**nodes: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [_node("TypeNode", "builtins", "str") for _ in nodes]
    listed = _node("ListNode", "builtins", "list", content=kinds)
    return _node("DictNode", "builtins", "dict", content=nodes, key_types=listed)


def _node(loader: str, module: str, name: str, **more: object) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__loader__": loader, **more}


def a_pickle_inside_of_skops(canary: Path) -> Files:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload(canary)], object), allow_pickle=True)
    return _skops(_rezipped(lambda name, data: buffer.getvalue() if ".npy" in name else data))


def skops_with_a_function_of_the_system(canary: Path) -> Files:
    steps = [("run", FunctionTransformer(os.system)), ("classify", _fitted())]
    model = Pipeline(steps)
    model.canary = str(canary)
    return _skops(skops.io.dumps(model))


def skops_with_a_foreign_class(canary: Path) -> Files:
    model = _fitted()
    model.canary = Payload(canary)
    return _skops(skops.io.dumps(model))


def skops_with_a_methodcaller(canary: Path) -> Files:
    model = _fitted()
    model.extra = operator.methodcaller("system", f"touch {canary}")
    return _skops(skops.io.dumps(model))


def _node_kinds(canary: Path) -> dict[str, tuple[Mapping[str, Any], int | None]]:
    """Return nodes with which a file could cause a call while it is read."""
    command = f"touch {canary}"
    arguments = _tuple(encoded(command))
    system = _node("TypeNode", "os", "system")
    run = _tuple(encoded(["/bin/sh", "-c", command]))
    popen = {"__reduce__": {"args": run}, "content": _dict()}
    path = _node(
        "ConstructorFromReduceNode", "pathlib", "Path", content=_tuple(encoded(str(canary)))
    )
    written = {"func": "touch", "obj": path}
    return {
        "operator call": (
            _node("OperatorFuncNode", "operator", "call", attrs=_tuple(system, encoded(command))),
            None,
        ),
        "attrgetter": (
            _node("OperatorFuncNode", "operator", "attrgetter", attrs=_tuple(encoded("__class__"))),
            None,
        ),
        "partial": (
            _node("PartialNode", "functools", "partial",
                  content={"func": system, "args": arguments, "kwds": _dict(),
                           "namespace": _dict()}),
            None,
        ),
        "function by name": (_node("FunctionNode", "builtins", "eval"), None),
        "function of protocol 0": (
            _node("FunctionNode", "builtins", "function",
                  content={"module_path": "os", "function": "system"}),
            0,
        ),
        "type by name": (system, None),
        "constructor": (
            _node("ConstructorFromReduceNode", "subprocess", "Popen", content=run), None
        ),
        "loss": (_node("LossNode", "subprocess", "Popen", **popen), None),
        "loss of a listed module": (
            _node("LossNode", "sklearn._loss._loss", "os.system", **popen), None
        ),
        "tree": (_node("TreeNode", "subprocess", "Popen", **popen), None),
        "object": (_node("ObjectNode", "subprocess", "Popen", content=_dict()), None),
        "method": (_node("MethodNode", "pathlib", "Path", content=written), None),
        "default factory": (
            _node("DefaultDictNode", "collections", "defaultdict",
                  content={"main": _dict(), "default_factory": system}),
            None,
        ),
        "keys of a type": (
            _node("DictNode", "builtins", "dict", content={command: encoded(1)},
                  key_types=_node("ListNode", "builtins", "list", content=[system])),
            None,
        ),
        "array of a type": (
            _node("NdArrayNode", "os", "system", type="json", content=[encoded(command)],
                  shape=_tuple(encoded(1))),
            None,
        ),
        "list of a type": (_node("ListNode", "os", "system", content=[encoded(command)]), None),
        "generator": (
            _node("RandomGeneratorNode", "numpy.random", "Generator",
                  content={"bit_generator": _dict(bit_generator=encoded("seed")),
                           "seed_seq": _dict()}),
            None,
        ),
        "cached": (_node("CachedNode", "os", "system", __id__=1), None),
    }  # fmt: skip


NODES = tuple(_node_kinds(Path()))


def skops_with(kind: str, canary: Path) -> Files:
    """Return a fitted classifier with one of `NODES` in it."""
    return _skops(with_node(*_node_kinds(canary)[kind]))


def a_zip_bomb(_: Path) -> Files:
    return _skops(_rezipped(lambda _, data: data, {"bomb.npy": bytes(MORE_THAN_ALLOWED)}))


def _entry(name: str | zipfile.ZipInfo) -> Files:
    return _skops(_rezipped(lambda _, data: data, {name: b"/etc/passwd"}))


def a_zip_that_climbs_up(canary: Path) -> Files:
    return _entry(f"../../../../../../..{canary}")


def a_zip_with_an_absolute_name(canary: Path) -> Files:
    return _entry(str(canary))


def a_zip_with_a_link(canary: Path) -> Files:
    entry = zipfile.ZipInfo(canary.name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return _entry(entry)


def skops_nested_beyond_measure(_: Path) -> Files:
    node = b'{"__class__":"list","__module__":"builtins","__loader__":"ListNode","content":['
    schema = node * 100_000 + b"]}" * 100_000
    return _skops(_rezipped(lambda name, data: schema if name == "schema.json" else data))


# Graphs


def graph(**changes: Any) -> onnx.ModelProto:
    """Return the graph that skl2onnx writes for a linear classifier on two numbers."""
    node = helper.make_node(
        "LinearClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml",
        coefficients=[1.0, 1.0, -1.0, -1.0], intercepts=[0.0, 0.0], classlabels_ints=[0, 1],
        post_transform="SOFTMAX",
    )  # fmt: skip
    reads = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])]
    gives = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2]),
    ]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_graph(
        [node, *changes.get("nodes", [])], "g", reads, gives, changes.get("constants", [])
    )
    return helper.make_model(
        made, opset_imports=[*opsets, *changes.get("opsets", [])], ir_version=10,
        functions=changes.get("functions", []),
    )  # fmt: skip


def _onnx(model: onnx.ModelProto, **more: bytes) -> Files:
    return {"MLmodel": mlmodel("onnx", data="model.onnx"),
            "model.onnx": model.SerializeToString(), **more}  # fmt: skip


def _external(location: str) -> Files:
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return _onnx(graph(constants=[tensor]), weights=bytes(8))


def onnx_with_data_in_an_absolute_place(_: Path) -> Files:
    return _external("/etc/passwd")


def onnx_with_data_above_its_folder(_: Path) -> Files:
    return _external("../../../../etc/passwd")


def onnx_with_data_beside_it(_: Path) -> Files:
    return _external("weights")


def onnx_with_an_operator_of_another_domain(_: Path) -> Files:
    node = helper.make_node("PyOp", ["X"], ["Y"], domain="ai.onnx.contrib", code="import os")
    return _onnx(graph(nodes=[node], opsets=[helper.make_opsetid("ai.onnx.contrib", 1)]))


def onnx_with_an_unlisted_operator(_: Path) -> Files:
    return _onnx(graph(nodes=[helper.make_node("ConstantOfShape", ["X"], ["Y"])]))


def onnx_with_a_function(_: Path) -> Files:
    body = [helper.make_node("Abs", ["a"], ["b"])]
    made = helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("", 21)])
    return _onnx(graph(functions=[made]))


def onnx_with_a_graph_inside(_: Path) -> Files:
    inner = helper.make_graph([], "inner", [], [])
    node = helper.make_node("Identity", ["X"], ["Y"], body=inner)
    return _onnx(graph(nodes=[node]))


def onnx_whose_tree_leads_outside(_: Path) -> Files:
    model = graph()
    del model.graph.node[:]
    node = helper.make_node(
        "TreeEnsembleClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[10**6, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[10**6, 0, 0], nodes_falsenodeids=[2, 0, 0],
        class_treeids=[0, 0], class_nodeids=[1, 2], class_ids=[0, 1], class_weights=[1.0, 1.0],
        classlabels_int64s=[0, 1], post_transform="NONE",
    )  # fmt: skip
    model.graph.node.append(node)
    return _onnx(model)


# MLmodel files


def a_loader_of_its_own(canary: Path) -> Files:
    code = f"import pathlib\npathlib.Path({str(canary)!r}).touch()\n"
    return {"MLmodel": mlmodel("python_function", loader_module="loader", code="code"),
            "code/loader.py": code.encode()}  # fmt: skip


def code_beside_a_pickle(canary: Path) -> Files:
    return {**a_pickle(canary), "code/sklearn.py": f"open({str(canary)!r}, 'w')".encode(),
            "MLmodel": mlmodel("sklearn", pickled_model="model.bin", code="code",
                               serialization_format="cloudpickle")}  # fmt: skip


def _elsewhere(name: str) -> Files:
    return {"MLmodel": mlmodel("sklearn", pickled_model=name, serialization_format="skops")}


def a_file_above_its_folder(_: Path) -> Files:
    return _elsewhere("../../../../../../etc/passwd")


def a_file_in_an_absolute_place(_: Path) -> Files:
    return _elsewhere("/etc/passwd")


def mlmodel_with_a_call(canary: Path) -> Files:
    return {"MLmodel": f'flavors: !!python/object/apply:os.system ["touch {canary}"]\n'.encode()}


def mlmodel_that_grows_without_end(_: Path) -> Files:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    return {"MLmodel": "\n".join([*lines, "flavors: *a39"]).encode()}
