"""The errors that OpenAPI documents, each with a request that is answered with it."""

JSON = {"content-type": "application/json"}
NOTHING = "0" * 32
OF_VERSION = "/models/{name}/versions/{version}/predict"
IRIS = OF_VERSION.format(name="iris", version=1)
PREDICTIONS = {
    "/v2/models/{name}/infer": "/v2/models/iris/infer",
    "/v2/models/{name}/versions/{version}/infer": "/v2/models/iris/versions/1/infer",
    "/v1/models/{name}:predict": "/v1/models/iris:predict",
    "/invocations": "/invocations",
}
TOO_LONG = b" " * (64 * 2**20 + 1)

ERRORS: dict[str, tuple[str, bytes | None, dict[str, str]]] = {
    "post /predict 400": ("/predict", b"{}", JSON),
    "post /predict 413": ("/predict", b'{"instances": [%s[]]}' % (b"[]," * 10_000), JSON),
    "post /predict 415": ("/predict", b"{}", {"content-type": "text/plain"}),
    f"post {OF_VERSION} 400": (IRIS, b"{}", JSON),
    f"post {OF_VERSION} 404": (IRIS.replace("1", "99"), b"{}", JSON),
    f"post {OF_VERSION} 413": (IRIS, b'{"instances": [%s[]]}' % (b"[]," * 10_000), JSON),
    f"post {OF_VERSION} 415": (IRIS, b"{}", {"content-type": "text/plain"}),
    **{
        f"post {route} {status}": (path, body, {"content-type": kind})
        for route, path in PREDICTIONS.items()
        for status, body, kind in (
            (400, b"{}", "application/json"),
            (413, b" " * (8 * 2**20 + 1), "application/json"),
            (415, b"{}", "text/plain"),
        )
    },
    "post /v2/models/{name}/infer 404": ("/v2/models/nobody/infer", b"{}", JSON),
    "post /v2/models/{name}/versions/{version}/infer 404": (
        "/v2/models/iris/versions/99/infer",
        b"{}",
        JSON,
    ),
    "post /v1/models/{name}:predict 404": ("/v1/models/nobody:predict", b"{}", JSON),
    "get /v2/models/{name} 404": ("/v2/models/nobody", None, {}),
    "get /v2/models/{name}/versions/{version} 404": ("/v2/models/iris/versions/99", None, {}),
    "get /v2/models/{name}/ready 404": ("/v2/models/nobody/ready", None, {}),
    "get /v2/models/{name}/versions/{version}/ready 404": (
        "/v2/models/iris/versions/x/ready",
        None,
        {},
    ),
    "get /v2/models/{name}/config 404": ("/v2/models/nobody/config", None, {}),
    "get /v2/models/{name}/versions/{version}/config 404": (
        "/v2/models/iris/versions/0/config",
        None,
        {},
    ),
    "get /v1/models/{name} 404": ("/v1/models/nobody", None, {}),
    "post /v2/repository/index 400": ("/v2/repository/index", b'{"ready": 1}', JSON),
    "post /v2/repository/index 413": ("/v2/repository/index", TOO_LONG, JSON),
    "post /v2/repository/index 415": ("/v2/repository/index", b"{}", {"content-type": "text/a"}),
    **{
        f"post /v2/repository/models/{{name}}/{act} {status}": (
            f"/v2/repository/models/{name}/{act}",
            body,
            {"content-type": kind},
        )
        for act in ("load", "unload")
        for status, name, body, kind in (
            (400, "iris", b'{"parameters": {"config": "{}"}}', "application/json"),
            (404, "nobody", b"", "application/json"),
            (413, "iris", TOO_LONG, "application/json"),
            (415, "iris", b"", "text/plain"),
        )
    },
    "post /v2/repository/models/{name}/unload 409": (
        "/v2/repository/models/iris/unload",
        b"",
        JSON,
    ),
    "post /outcomes 400": ("/outcomes", b"{}", JSON),
    "post /outcomes 404": (
        "/outcomes",
        b'{"version": 99, "instances": [[5, 3, 1, 0]], "labels": ["setosa"]}',
        JSON,
    ),
    "post /outcomes 409": (
        "/outcomes",
        b'{"version": 1, "append_to": "iris", "instances": [[5, 3, 1, 0]], "labels": ["setosa"]}',
        JSON,
    ),
    "post /outcomes 413": ("/outcomes", b" " * (8 * 2**20 + 1), JSON),
    "post /outcomes 415": ("/outcomes", b"{}", {"content-type": "text/plain"}),
    "get /outcomes 400": ("/outcomes?days=0", None, {}),
    "get /outcomes 404": ("/outcomes?name=nobody", None, {}),
    "post /train 400": ("/train", b"{}", JSON),
    "post /train 404": ("/train", b'{"dataset": "nobody", "model_type": "SVC"}', JSON),
    "post /train 413": ("/train", TOO_LONG, JSON),
    "post /train 415": ("/train", b"", {"content-type": "text/plain"}),
    "get /trainings 400": ("/trainings?limit=0", None, {}),
    "get /trainings/{training} 404": (f"/trainings/{NOTHING}", None, {}),
    "delete /trainings/{training} 404": (f"/trainings/{NOTHING}", None, {}),
    "get /model-types 400": ("/model-types?a=1", None, {}),
    "get /model-types/{name} 404": ("/model-types/Foo", None, {}),
    "get /datasets 400": ("/datasets?a=1", None, {}),
    "post /datasets 400": ("/datasets?name=x", b"{", JSON),
    "post /datasets 409": ("/datasets?name=iris", b'{"columns":["a"],"rows":[[1]]}', JSON),
    "post /datasets 413": ("/datasets", TOO_LONG, JSON),
    "post /datasets 415": ("/datasets", b"", {"content-type": "text/plain"}),
    "get /datasets/{name} 404": ("/datasets/nobody", None, {}),
    "delete /datasets/{name} 404": ("/datasets/nobody", None, {}),
    "delete /datasets/{name} 409": ("/datasets/iris", None, {}),
    "get /skew 400": ("/skew?window=1y", None, {}),
    "get /models 400": ("/models?limit=0", None, {}),
    "get /models/{name}/versions/{version} 404": ("/models/nobody/versions/1", None, {}),
    "delete /models/{name}/versions/{version} 404": ("/models/nobody/versions/1", None, {}),
    "delete /models/{name}/versions/{version} 409": ("/models/iris/versions/1", None, {}),
    "put /traffic 400": ("/traffic", b"{}", JSON),
    "put /traffic 404": (
        "/traffic",
        b'{"name":"nobody","version":1,"mode":"shadow","percent":1}',
        JSON,
    ),
    "put /traffic 409": (
        "/traffic",
        b'{"name":"iris","version":1,"mode":"shadow","percent":1}',
        JSON,
    ),
    "put /traffic 413": ("/traffic", TOO_LONG, JSON),
    "put /traffic 415": ("/traffic", b"{}", {"content-type": "text/plain"}),
    "delete /traffic 404": ("/traffic", None, {}),
    "post /use-model 400": ("/use-model", b"{}", JSON),
    "post /use-model 404": ("/use-model", b'{"name": "nobody"}', JSON),
    "post /use-model 413": ("/use-model", TOO_LONG, JSON),
    "post /use-model 415": ("/use-model", b"{}", {"content-type": "text/plain"}),
}

NO_MLFLOW: dict[str, tuple[str, bytes | None]] = {
    "post /train 503": ("/train", b'{"dataset": "iris", "model_type": "SVC"}'),
    "post /outcomes 503": ("/outcomes", b"{}"),
    "get /outcomes 503": ("/outcomes?name=iris", None),
    "get /trainings 503": ("/trainings", None),
    "get /trainings/{training} 503": (f"/trainings/{NOTHING}", None),
    "delete /trainings/{training} 503": (f"/trainings/{NOTHING}", None),
    "get /datasets 503": ("/datasets", None),
    "post /datasets 503": ("/datasets?name=x", b'{"columns":["a","b"],"rows":[[1,2],[2,3]]}'),
    "get /datasets/{name} 503": ("/datasets/nobody", None),
    "delete /datasets/{name} 503": ("/datasets/nobody", None),
    "get /models/{name}/versions/{version} 503": ("/models/iris/versions/1", None),
    "delete /models/{name}/versions/{version} 503": ("/models/iris/versions/1", None),
    "post /use-model 503": ("/use-model", b'{"name": "iris"}'),
    "put /traffic 503": ("/traffic", b'{"name":"iris","version":1,"mode":"shadow","percent":1}'),
    "delete /traffic 503": ("/traffic", None),
    "get /v2/models/{name}/versions/{version} 503": ("/v2/models/iris/versions/98", None),
    "get /v2/models/{name}/versions/{version}/ready 503": (
        "/v2/models/iris/versions/98/ready",
        None,
    ),
    "get /v2/models/{name}/config 503": ("/v2/models/nobody/config", None),
    "get /v2/models/{name} 503": ("/v2/models/nobody", None),
    "get /v2/models/{name}/versions/{version}/config 503": (
        "/v2/models/iris/versions/98/config",
        None,
    ),
    "post /v2/models/{name}/infer 503": ("/v2/models/nobody/infer", b"{}"),
    "post /v2/models/{name}/versions/{version}/infer 503": (
        "/v2/models/iris/versions/98/infer",
        b"{}",
    ),
    "post /v1/models/{name}:predict 503": ("/v1/models/nobody:predict", b"{}"),
    "post /v2/repository/models/{name}/load 503": ("/v2/repository/models/iris/load", b"{}"),
    "post /v2/repository/models/{name}/unload 503": (
        "/v2/repository/models/nobody/unload",
        b"{}",
    ),
}

NO_MODEL = {
    "get /schema 503": ("/schema", None),
    "get /skew 503": ("/skew", None),
    "get /traffic 503": ("/traffic", None),
    "post /predict 503": ("/predict", b"{}"),
    f"post {OF_VERSION} 503": (IRIS, b"{}"),
    "get /use-model 503": ("/use-model", None),
    "get /readyz 503": ("/readyz", None),
    "get /models 503": ("/models", None),
    "get /v2/health/ready 503": ("/v2/health/ready", None),
    "get /v2/models 503": ("/v2/models", None),
    "get /v1/models 503": ("/v1/models", None),
    "post /v2/repository/index 503": ("/v2/repository/index", b"{}"),
    "post /invocations 503": ("/invocations", b"{}"),
    "get /ping 404": ("/ping", None),
    "get /health 404": ("/health", None),
}
"""On a replica that has no model and has never reached MLflow."""

MADE_ELSEWHERE = {
    f"post {OF_VERSION} 409": "tests/api/test_any_version.py",
    **dict.fromkeys(
        (
            "get /v2/models/{name} 409",
            "get /v2/models/{name}/versions/{version} 409",
            "get /v2/models/{name}/versions/{version}/ready 409",
            "get /v2/models/{name}/config 409",
            "get /v2/models/{name}/versions/{version}/config 409",
            "get /v2/models/{name}/ready 503",
            "get /v1/models/{name} 503",
            "post /v2/models/{name}/infer 409",
            "post /v2/models/{name}/versions/{version}/infer 409",
            "post /v1/models/{name}:predict 409",
            "post /v2/repository/models/{name}/load 409",
        ),
        "tests/api/inference/test_versions.py",
    ),
    **dict.fromkeys(("get /ping 503", "get /health 503"), "tests/api/scoring/test_health.py"),
    "get /skew 409": "tests/api/test_skew.py",
    "post /use-model 409": "tests/worker/sklearn_models/test_external_model.py",
    "delete /trainings/{training} 409": "tests/api/test_train.py",
    "post /train 409": "tests/api/test_bad_input.py",
    "post /train 429": "tests/api/test_train.py",
}
"""Documented errors that take a scene of their own."""
