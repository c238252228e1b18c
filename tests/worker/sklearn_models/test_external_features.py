"""What a version that others logged expects: numbers, booleans, missing values, and text."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import CategoricalNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from tests.support.notebook import linear_graph, listed, log_onnx, log_sklearn, signature, use
from tests.support.server import Client

CITIES = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0] * 5, "city": ["Rio", "Recife"] * 10})
ANSWERS = np.array(["no", "yes"] * 10)
MIXED = pd.DataFrame(
    {
        "age": [20.0, 30.0, None, 50.0] * 5,
        "vip": [True, False] * 10,
        "visits": np.arange(20, dtype=np.int32),
    }
)


def _encoded(encoder: Any) -> Any:
    return make_pipeline(
        ColumnTransformer([("text", encoder, ["city"])], remainder="passthrough"),
        LogisticRegression(),
    ).fit(CITIES, ANSWERS)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "encoder",
    [OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder()],
    ids=lambda one: type(one).__name__,
)
def test_a_model_that_reads_text_is_refused_with_the_feature_and_its_type(
    foreign_service: Client, encoder: Any, signed: bool
) -> None:
    name = f"cities-{type(encoder).__name__}-{signed}"
    options = {"signature": signature(CITIES)} if signed else {}
    log_sklearn(_encoded(encoder), name, skops_trusted_types=["numpy.dtype"], **options)

    refused = foreign_service.post("/use-model", json={"name": name})

    assert refused.status_code == 409
    assert "its feature 'city' is of type string" in refused.json()["detail"]
    assert listed(foreign_service, name)["servable"] is False


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("unknown", ["ignore", "error"])
def test_text_that_is_one_hot_encoded_after_the_numbers_is_served_exactly(
    foreign_service: Client, unknown: str, signed: bool
) -> None:
    prepare = ColumnTransformer(
        [("n", StandardScaler(), ["age"]), ("t", OneHotEncoder(handle_unknown=unknown), ["city"])]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(CITIES, ANSWERS)
    name = f"served-{unknown}-{signed}"
    options = {"signature": signature(CITIES)} if signed else {}
    log_sklearn(model, name, skops_trusted_types=["numpy.dtype"], **options)

    assert use(foreign_service, name) == 200

    features = foreign_service.get("/schema").json()["features"]
    assert features[1]["categories"] == ["Recife", "Rio"]
    rows = CITIES.to_dict("records")
    answered = foreign_service.predict({"instances": rows, "probabilities": True}).json()
    assert answered["predictions"] == model.predict(CITIES).tolist()
    assert np.allclose(answered["probabilities"], model.predict_proba(CITIES), atol=1e-12)
    elsewhere = {"instances": [{"age": 20, "city": "Natal"}]}
    assert foreign_service.predict(elsewhere).is_success == (unknown == "ignore")


def test_missing_values_of_a_pipeline_are_filled_as_scikit_learn_does(
    foreign_service: Client,
) -> None:
    cities = pd.Series(["Rio", None, "Natal", "Rio"] * 5, dtype=object)
    frame = CITIES.assign(age=[np.nan, 30.0, 40.0, 50.0] * 5, city=cities)
    text = make_pipeline(
        SimpleImputer(strategy="most_frequent", missing_values=None),
        OneHotEncoder(handle_unknown="ignore"),
    )
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    prepare = ColumnTransformer([("n", numbers, ["age"]), ("t", text, ["city"])])
    model = make_pipeline(prepare, LogisticRegression()).fit(frame, ANSWERS)
    log_sklearn(model, "filled", skops_trusted_types=["numpy.dtype"], signature=signature(frame))

    assert use(foreign_service, "filled") == 200

    assert [one["nullable"] for one in foreign_service.get("/schema").json()["features"]] == [
        True,
        True,
    ]
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    answered = foreign_service.predict({"instances": rows, "probabilities": True}).json()
    assert answered["predictions"] == model.predict(frame).tolist()
    assert np.allclose(answered["probabilities"], model.predict_proba(frame), atol=1e-12)


def test_an_encoder_of_text_alone_is_refused(foreign_service: Client) -> None:
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model.fit(CITIES[["city"]], ANSWERS)
    log_sklearn(model, "city", skops_trusted_types=["numpy.dtype"])

    assert use(foreign_service, "city") == 409
    assert "'city' is of type string" in listed(foreign_service, "city")["reason"]


def test_a_model_that_does_not_answer_numbers_is_refused_with_its_own_error(
    foreign_service: Client,
) -> None:
    model = LogisticRegression().fit(CITIES[["age"]], ANSWERS)
    model.coef_ = model.coef_.astype(str)
    log_sklearn(model, "broken")

    assert use(foreign_service, "broken") == 409
    assert "does not answer" in listed(foreign_service, "broken")["reason"]
    assert foreign_service.get("/use-model").json()["name"] != "broken"


def test_an_error_of_a_model_of_others_at_a_prediction_is_a_sentence(
    foreign_service: Client,
) -> None:
    # scikit-learn raises IndexError for a category that it has not seen.
    model = CategoricalNB().fit(np.array([[0], [1], [2], [1]]), np.array([0, 1, 0, 1]))
    log_sklearn(model, "brittle")
    assert use(foreign_service, "brittle") == 200

    refused = foreign_service.predict({"instances": [[50]]})

    assert refused.status_code == 400
    assert "IndexError" in refused.json()["detail"]
    assert foreign_service.predict({"instances": [[1]]}).json()["predictions"] == [1]


def test_a_signature_says_what_is_boolean_and_what_may_be_missing(
    foreign_service: Client,
) -> None:
    model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=1).fit(MIXED, ANSWERS)
    log_sklearn(
        model,
        "mixed",
        signature=signature(MIXED),
        skops_trusted_types=[
            "numpy.dtype",
            "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        ],
    )

    assert use(foreign_service, "mixed") == 200
    features = foreign_service.get("/schema").json()["features"]
    assert [(one["name"], one["type"], one["nullable"]) for one in features] == [
        ("age", "number", True),
        ("vip", "boolean", False),
        ("visits", "number", False),
    ]
    rows = MIXED.astype(object).where(MIXED.notna(), None).to_dict("records")
    answered = foreign_service.predict({"instances": rows, "probabilities": True}).json()
    assert answered["predictions"] == model.predict(MIXED).tolist()
    assert np.allclose(answered["probabilities"], model.predict_proba(MIXED), atol=1e-12)
    assert foreign_service.predict(foreign_service.get("/schema").json()["example"]).is_success


def test_an_optional_feature_is_not_nullable_where_the_classifier_takes_no_missing_value(
    foreign_service: Client,
) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(MIXED[["visits", "vip"]], ANSWERS)
    optional = MIXED[["visits", "vip"]].astype({"visits": float})
    optional.loc[0, "visits"] = None
    log_sklearn(model, "strict", signature=signature(optional))

    assert use(foreign_service, "strict") == 200
    assert [f["nullable"] for f in foreign_service.get("/schema").json()["features"]] == [
        False,
        False,
    ]
    refused = foreign_service.predict({"instances": [{"visits": None, "vip": True}]})
    assert refused.status_code == 400
    assert "the model takes no missing value" in refused.json()["errors"][0]["message"]


def test_a_graph_reads_booleans_as_its_signature_says(foreign_service: Client) -> None:
    log_onnx(linear_graph(2), "signed", signature=signature(MIXED[["vip", "visits"]]))

    assert use(foreign_service, "signed") == 200
    answered = foreign_service.predict({"instances": [{"vip": True, "visits": -3}]}).json()
    assert answered["predictions"] == ["low"]
