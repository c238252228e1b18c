"""Multi-layer perceptrons: a matrix product and an activation for each layer."""

from sklearn.neural_network import MLPClassifier

from service.worker.onnx_export.builder import Answer, Graph

# Sigmoid's float64 error is relative to tiny values, which does not matter between layers.
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": "Identity"}


def emit_perceptron(graph: Graph, classifier: MLPClassifier, x: str) -> Answer:
    """Add the layers; the label comes from the output's probabilities, as scikit-learn takes it."""
    activation = ACTIVATIONS[classifier.activation]
    for weights, offset in zip(classifier.coefs_[:-1], classifier.intercepts_[:-1], strict=True):
        x = graph.node(activation, graph.affine(x, weights, offset))
    output = graph.affine(x, classifier.coefs_[-1], classifier.intercepts_[-1])
    if classifier.out_activation_ == "softmax":
        probabilities = graph.softmax(output)
        return Answer(graph.largest(probabilities), probabilities)
    p = graph.logistic(output)
    return Answer(graph.side(p, bound=0.5), graph.both_classes(p))
