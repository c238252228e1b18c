"""The example that the service gives for the model in use is answered with one of its classes."""

from service import API, expect

schema = expect(200, "GET", f"{API}/schema")
answer = expect(200, "POST", f"{API}/predict", schema["example"])
assert set(answer["predictions"]) <= set(schema["classes"]), answer
refusal = expect(400, "POST", f"{API}/predict", {"instances": [{"no such feature": 1}]})
expect(200, "POST", f"{API}/predict", refusal["example"])
print(f"predicted {answer['predictions']} by {answer['model']} version {answer['version']}")
