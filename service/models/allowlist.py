"""What a stored model may contain: the operators of a graph, the types of a skops file.

Its rule: whatever is not listed here is refused before anything of the file is built or run.
"""

import stat
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

from service.common.errors import UntrustedArtifact

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

LARGEST_ARTIFACT = 512 * 2**20
"""The most bytes of a graph as stored, and of a skops file as unpacked."""

MOST_ENTRIES = 200_000
"""A forest of a thousand trees has about 20 000 entries."""

_OF_THIS_SERVICE = """
    Abs Add ArgMax Cast Clip Concat Div Equal Exp Gather Greater GreaterOrEqual Identity IsNaN Less
    LessOrEqual MatMul Max Min Mul Neg Pow ReduceMax ReduceSum Relu Reshape Sigmoid Softmax Sub
    Tanh Where
"""

# Those that skl2onnx writes besides for classifiers, without ConstantOfShape, Expand and Tile,
# which make large tensors from small ones.
_OF_SKL2ONNX = """
    And ArgMin Constant Flatten Floor GatherElements GatherND Gemm Log LogSoftmax Not Or ReduceL2
    ReduceLogSumExp ReduceMean ReduceMin ReduceProd ReduceSumSquare Shape Sign Slice Split Sqrt
    Squeeze Sum TopK Transpose Unsqueeze Xor
"""

_OF_MACHINE_LEARNING = """
    TreeEnsemble ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LabelEncoder
    LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler
    TreeEnsembleClassifier TreeEnsembleRegressor ZipMap
"""

OPERATORS = {
    "": frozenset((_OF_THIS_SERVICE + _OF_SKL2ONNX).split()),
    "ai.onnx.ml": frozenset(_OF_MACHINE_LEARNING.split()),
}
"""The operators that a graph may use, by domain."""

TRUSTED_TYPES = frozenset(
    {
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.metrics._dist_metrics.ChebyshevDistance64",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    }
)
"""The types that fitted classifiers consist of, beyond those that skops itself trusts."""


def inspect_onnx(data: bytes, limit: int = LARGEST_ARTIFACT) -> None:
    """Refuse a serialised ONNX model with anything but plain nodes of the known operators."""
    from onnx import ModelProto

    if len(data) > limit:
        raise UntrustedArtifact(f"the graph has more than {limit:,} bytes")
    try:
        model = ModelProto.FromString(data)
    except Exception as error:  # protobuf's errors have no common class that is not internal.
        raise UntrustedArtifact("the file is no ONNX model") from error
    if model.functions or model.training_info:
        raise UntrustedArtifact("the model carries functions or training of its own")
    for opset in model.opset_import:
        if _domain(opset.domain) not in OPERATORS:
            raise UntrustedArtifact(f"the model uses operators of {opset.domain!r}")
    _inspect_graph(model.graph)


def _inspect_graph(graph: "GraphProto") -> None:
    if not graph.node:
        raise UntrustedArtifact("the file is no ONNX model")
    if graph.sparse_initializer:
        raise UntrustedArtifact("the graph holds sparse constants")
    for tensor in graph.initializer:
        _inspect_tensor(tensor)
    for node in graph.node:
        if node.op_type not in OPERATORS.get(_domain(node.domain), ()):
            domain = f"{node.domain}." if node.domain else ""
            raise UntrustedArtifact(f"the graph uses the operator {domain}{node.op_type}")
        for attribute in node.attribute:
            _inspect_attribute(node, attribute)


def _inspect_attribute(node: "NodeProto", attribute: "AttributeProto") -> None:
    if attribute.HasField("g") or attribute.graphs:
        raise UntrustedArtifact(f"the operator {node.op_type} holds a graph")
    if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
        raise UntrustedArtifact(f"the operator {node.op_type} holds sparse constants")
    if attribute.HasField("t"):
        _inspect_tensor(attribute.t)
    for tensor in attribute.tensors:
        _inspect_tensor(tensor)


def _inspect_tensor(tensor: "TensorProto") -> None:
    if tensor.data_location != 0 or tensor.external_data:
        raise UntrustedArtifact("the graph keeps constants in other files")


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def inspect_zip(data: bytes, limit: int = LARGEST_ARTIFACT) -> None:
    """Refuse a zip that would unpack to too much, or that names files outside itself."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        raise UntrustedArtifact("the file is not a skops file") from error
    if len(entries) > MOST_ENTRIES:
        raise UntrustedArtifact(f"the file has more than {MOST_ENTRIES:,} entries")
    if sum(entry.file_size for entry in entries) > limit:
        raise UntrustedArtifact(f"the file unpacks to more than {limit:,} bytes")
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise UntrustedArtifact("the file has two entries of one name")
    linked = any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries)
    if linked or any(
        name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/")
        for name in names
    ):
        raise UntrustedArtifact("the file names a place outside itself")
