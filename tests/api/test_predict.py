"""`POST /predict` over HTTP: its input formats, its replies and their headers."""

import pytest

from tests.support.server import Client

ROW = {
    "sepal length (cm)": 5.1,
    "sepal width (cm)": 3.5,
    "petal length (cm)": 1.4,
    "petal width (cm)": 0.2,
}


def test_an_instance_is_classified(client: Client) -> None:
    response = client.predict({"instances": [ROW]})

    assert response.status_code == 200
    assert response.json() == {"model": "iris", "version": 1, "predictions": ["setosa"]}


def test_features_may_come_in_any_order_or_as_an_array(client: Client) -> None:
    turned = dict(reversed(ROW.items()))

    for instance in (turned, list(ROW.values())):
        assert client.predict({"instances": [instance]}).json()["predictions"] == ["setosa"]


def test_probabilities_come_with_their_classes_when_asked_for(client: Client) -> None:
    body = client.predict({"instances": [ROW, ROW], "probabilities": True}).json()

    assert body["classes"] == ["setosa", "versicolor", "virginica"]
    assert len(body["probabilities"]) == 2
    assert sum(body["probabilities"][0]) == pytest.approx(1)
    assert "probabilities" not in client.predict({"instances": [ROW]}).json()


def test_a_reply_says_which_model_answered_and_repeats_the_request_id(client: Client) -> None:
    response = client.predict({"instances": [ROW]}, **{"x-request-id": "abc-1"})

    assert response.headers["x-model-name"] == "iris"
    assert response.headers["x-model-version"] == "1"
    assert int(response.headers["x-model-epoch"]) >= 1
    assert response.headers["x-request-id"] == "abc-1"


def test_the_example_of_a_refusal_is_a_request_that_works(client: Client) -> None:
    refusal = client.predict({"instances": [{"petal_width": 1}]})

    assert refusal.status_code == 400
    assert client.predict(refusal.json()["example"]).status_code == 200


def test_a_refusal_names_every_problem_with_its_pointer(client: Client) -> None:
    wrong = {**ROW, "petal_width": 0.2, "sepal width (cm)": "3.5"}
    del wrong["petal width (cm)"]

    problem = client.predict({"instances": [ROW, wrong]}).json()

    assert problem["errors"] == [
        {"pointer": "/instances/1/sepal width (cm)", "message": "must be a number, not a text"},
        {"pointer": "/instances/1/petal width (cm)", "message": "is missing"},
        {
            "pointer": "/instances/1/petal_width",
            "message": "is not a feature; did you mean 'petal width (cm)'?",
        },
    ]
    assert problem["detail"].startswith("3 problems in 1 of 2 instances: ")
    assert problem["model"] == {"name": "iris", "version": 1}
    assert [f["name"] for f in problem["expected"]["features"]] == [
        "sepal width (cm)",
        "petal width (cm)",
    ]


def test_labels_keep_the_type_they_had_in_training(client: Client) -> None:
    for labels in (["a", "b"], [3, 7], [False, True]):
        rows = [[index % 2, labels[index % 2]] for index in range(40)]
        client.train(
            name="labels",
            model_type="DecisionTreeClassifier",
            dataset={"columns": ["x", "y"], "rows": rows},
            target="y",
        )

        body = client.predict({"instances": [{"x": 1}, {"x": 0}]}).json()

        assert body["predictions"] == [labels[1], labels[0]]
        assert [type(label) for label in body["predictions"]] == [type(labels[0])] * 2


def test_text_booleans_and_missing_values_are_understood(client: Client) -> None:
    records = [
        {"city": "rio", "vip": True, "age": 30, "y": "yes"},
        {"city": "bahia", "vip": False, "age": None, "y": "no"},
    ] * 20
    client.train(
        name="mixed", model_type="LogisticRegression", dataset={"records": records}, target="y"
    )

    good = {"instances": [{"city": "rio", "vip": True, "age": None}]}
    assert client.predict(good).json()["predictions"] == ["yes"]

    problem = client.predict({"instances": [{"city": "rioo", "vip": 1, "age": True}]}).json()
    messages = {error["pointer"].split("/")[-1]: error["message"] for error in problem["errors"]}
    assert messages["city"].endswith("did you mean 'rio'?")
    assert messages["vip"] == "must be true or false, not a number"
    assert messages["age"] == "must be a number, not a boolean"

    swapped = client.predict({"instances": [["rio", True, 3]]})
    assert swapped.status_code == 400
    assert "keyed by feature" in swapped.json()["errors"][0]["message"]


def test_unknown_categories_pass_where_the_training_said_so(client: Client) -> None:
    records = [{"city": "rio", "y": 1}, {"city": "bahia", "y": 0}] * 20
    client.train(
        name="lenient",
        model_type="LogisticRegression",
        dataset={"records": records},
        target="y",
        unknown_categories="ignore",
    )

    assert client.predict({"instances": [{"city": "recife"}]}).status_code == 200


def test_a_classifier_without_probabilities_says_so(client: Client) -> None:
    client.train(name="svc", model_type="SVC", dataset="iris")

    response = client.predict({"instances": [ROW], "probabilities": True})

    assert response.status_code == 400
    assert "has no probabilities" in response.json()["detail"]


def test_a_native_classifier_is_served_too(client: Client) -> None:
    client.train(name="near", model_type="KNeighborsClassifier", dataset="iris")

    body = client.predict({"instances": [ROW], "probabilities": True}).json()

    assert body["predictions"] == ["setosa"]
    assert body["probabilities"] == [[1.0, 0.0, 0.0]]


def test_many_rows_are_answered_in_order(client: Client) -> None:
    other = {**ROW, "petal length (cm)": 5.5, "petal width (cm)": 2.1}

    body = client.predict({"instances": [ROW, other] * 2000}).json()

    assert body["predictions"] == ["setosa", "virginica"] * 2000


def test_the_schema_tells_what_predict_takes(client: Client) -> None:
    schema = client.get("/schema").json()

    assert [feature["name"] for feature in schema["features"]] == list(ROW)
    assert schema["classes"] == ["setosa", "versicolor", "virginica"]
    assert client.predict(schema["example"]).status_code == 200


def test_a_row_for_which_a_classifier_has_no_answer_gets_an_error_and_no_label(
    client: Client,
) -> None:
    far = {"instances": [[900, 900, 900, 900]]}

    client.train(name="radius", model_type="RadiusNeighborsClassifier", dataset="iris")
    nobody_near = client.predict(far)
    client.train(name="spread", model_type="LabelPropagation", dataset="iris")
    zero_by_zero = client.predict(far)

    assert nobody_near.status_code in (200, 400)
    assert zero_by_zero.status_code == 400
    assert "no finite probabilities" in zero_by_zero.json()["detail"]
