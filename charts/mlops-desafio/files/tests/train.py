"""A model can be trained, listed, put in use, and answers; afterwards all is as it was."""

import time

from service import API, EXAMPLE, ask, expect

NAME = "helm-test"


def answered_by(name: str) -> None:
    """Wait until ten predictions in a row come from this model: from every replica, that is."""
    deadline = time.monotonic() + 30
    row = 0
    while row < 10:
        _, answer = ask("POST", f"{API}/predict", {"instances": [EXAMPLE]})
        # A prediction says the model's name; a refusal, where other features are expected, more.
        model = answer.get("model") if isinstance(answer, dict) else None
        found = model.get("name") if isinstance(model, dict) else model
        row = row + 1 if found == name else 0
        assert time.monotonic() < deadline, f"not every replica answers from {name}: {answer}"


before = expect(200, "GET", f"{API}/use-model")
order = {"name": NAME, "model_type": "GaussianNB", "dataset": "iris", "wait": 60}
training = expect(201, "POST", f"{API}/train", {**order, "use": False})
version = training["version"]
try:
    listed = expect(200, "GET", f"{API}/models?name={NAME}")["models"]
    assert version in [model["version"] for model in listed], listed
    expect(200, "POST", f"{API}/use-model", {"name": NAME, "version": version})
    answered_by(NAME)
    print(f"trained, listed, used and asked: {NAME} version {version}")
finally:
    expect(
        200,
        "POST",
        f"{API}/use-model",
        {"name": before["name"], "version": before["version"]},
    )
answered_by(before["name"])
expect(204, "DELETE", f"{API}/models/{NAME}/versions/{version}")
