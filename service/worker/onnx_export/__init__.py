"""A fitted pipeline as an ONNX graph in float64 that answers as scikit-learn does."""
