"""MLflow answers to its Service's name, also in its long forms."""

from service import MLFLOW, NAMESPACE, expect

name = MLFLOW.removeprefix("http://").removesuffix(":5000")
for host in (name, f"{name}.{NAMESPACE}", f"{name}.{NAMESPACE}.svc"):
    url = f"http://{host}:5000/api/2.0/mlflow/experiments/search?max_results=1000"
    found = [experiment["name"] for experiment in expect(200, "GET", url)["experiments"]]
    assert "Default" in found, found
    print(f"{host} answers: {found}")
