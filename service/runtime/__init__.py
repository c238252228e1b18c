"""The classifiers that answer: a graph in ONNX Runtime, or a fitted scikit-learn classifier.

Its rule: nothing is unpickled, and `service.trust` looks at a file before anything is built of it.
What is exported here never imports scikit-learn; `native` and `stored` do, for child processes.
"""

from service.runtime.classifier import TOLERANCE, Classifier, ReadsFiles, replay
from service.runtime.graph import BoundRun, OnnxClassifier, load_onnx
from service.trust import UntrustedArtifact

__all__ = [
    "TOLERANCE",
    "BoundRun",
    "Classifier",
    "OnnxClassifier",
    "ReadsFiles",
    "UntrustedArtifact",
    "load_onnx",
    "replay",
]
