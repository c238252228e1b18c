"""The program in a pod of a training's Job (`python -m service.pod`)."""
