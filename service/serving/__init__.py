"""One version, ready to answer: loaded, admitted, batched, classified, encoded."""
