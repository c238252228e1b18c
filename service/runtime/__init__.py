"""The classifiers that answer: a graph in ONNX Runtime, or a fitted scikit-learn classifier.

Its rule: nothing is unpickled, and `service.trust` looks at a file before anything is built of it.
A process that serves only graphs never imports scikit-learn.
"""

from service.runtime.classifier import TOLERANCE, Classifier, replay
from service.runtime.graph import BoundRun, OnnxClassifier, load_onnx
from service.runtime.native import NativeClassifier, load_native
from service.trust import UntrustedArtifact

__all__ = [
    "TOLERANCE",
    "BoundRun",
    "Classifier",
    "NativeClassifier",
    "OnnxClassifier",
    "UntrustedArtifact",
    "load_native",
    "load_onnx",
    "replay",
]
