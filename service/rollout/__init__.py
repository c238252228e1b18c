"""The model in use in every replica: how it is changed, followed and remembered."""
