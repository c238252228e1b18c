"""The contract of a version, and what is compiled from it: decoder, explanation, example."""
