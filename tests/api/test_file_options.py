"""What the owner of a file may say of it: columns, types, missing values, encoding, a dry run."""

import json
from collections.abc import Iterator

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.files import YN, notes_of, predict, refusal, table, train, trained, types
from tests.support.server import Client, serve, settings_for


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("files")
    settings = settings_for(folder / "data")
    with serve(settings, FakeRegistry(folder)) as client:
        yield client


def test_one_label_in_two_spellings_is_refused_and_can_be_kept_apart(client: Client) -> None:
    file = table("a,ok", list(range(40)), ["1", "1.0"])
    assert "'1' and '1.0'" in refusal(client, file)
    assert trained(client, file, types='{"ok": "text"}')["classes"] == ["1", "1.0"]


def test_a_marker_among_labels_is_refused_with_its_row_and_the_way_out(client: Client) -> None:
    file = table("a,ok", list(range(40)), ["y", "n", "NA"])
    message = refusal(client, file)
    assert "row 3" in message
    assert '"missing": []' in message
    assert trained(client, file, missing="[]")["classes"] == ["NA", "n", "y"]


def test_a_marker_in_a_column_of_text_is_a_value_unless_its_owner_says_otherwise(
    client: Client,
) -> None:
    file = table("city,ok", ["rome", "oslo", "NA"], [*YN])
    schema = trained(client, file)
    assert schema["features"][0]["categories"] == ["NA", "oslo", "rome"]
    assert '"missing": ["NA"]' in notes_of(schema, "city")[0]
    schema = trained(client, file, missing="NA")
    assert schema["features"][0]["categories"] == ["oslo", "rome"]
    assert len(predict(client, "city\nNA\nrome\n")) == 2


def test_what_an_error_says_to_leave_out_can_be_left_out(client: Client) -> None:
    ids = [f"id{row}" for row in range(40)]
    file = table("id,when,a,ok", ids, ["2024-01-01", "2024-01-02"], [1, 2, 3], [*YN])
    message = refusal(client, file)
    assert '"exclude": ["id"]' in message
    assert '"exclude": ["when"]' in message
    assert types(trained(client, file, exclude='["id", "when"]')) == {"a": "number"}
    assert len(predict(client, "id,when,a\nx,2024-02-30,1\n")) == 1


def test_excluding_what_is_not_there_is_refused_with_a_hint(client: Client) -> None:
    assert "did you mean 'zip'" in refusal(client, table("zip,ok", [1, 2], [*YN]), exclude="zpi")
    assert "'ok'" in refusal(client, table("zip,ok", [1, 2], [*YN]), exclude="ok")
    assert "types" in refusal(client, table("a,ok", [1, 2], [*YN]), types='{"b": "text"}')
    assert "types" in refusal(client, table("a,ok", [1, 2], [*YN]), types='{"a": "date"}')


@pytest.mark.parametrize(
    ("written", "cause", "read"),
    [
        ('"{}5,38"', "decimal comma", "{}5.38"),
        ('"{}1,200"', "thousands", "{}1200"),
        ("{}5.1%", "percent", "{}5.1"),
    ],
)
def test_numbers_in_another_spelling_are_told_in_one_sentence_or_read(
    client: Client, written: str, cause: str, read: str
) -> None:
    file = table("x,ok", [written.format(1), written.format(2)], [*YN])
    message = refusal(client, file)
    assert cause in message
    assert message.count("'x'") == 1
    schema = trained(client, file, types='{"x": "number"}')
    assert types(schema) == {"x": "number"}
    by_file = predict(client, "x\n" + written.format(1) + "\n" + written.format(2) + "\n")
    instances = [{"x": float(read.format(digit))} for digit in (1, 2)]
    by_json = client.predict({"instances": instances})
    assert by_file == by_json.json()["predictions"] == ["y", "n"]


def test_a_file_in_windows_1252_is_read_as_its_owner_says(client: Client) -> None:
    file = table("cidade,ok", ["São Paulo", "Belém"], ["sim", "não"]).encode("windows-1252")
    assert '"encoding": "windows-1252"' in refusal(client, file)
    schema = trained(client, file, encoding="Windows-1252")
    assert schema["classes"] == ["não", "sim"]
    rows = "cidade\nBelém\n".encode("windows-1252")
    assert predict(client, rows, "text/csv; charset=windows-1252") == ["não"]
    assert "encoding" in refusal(client, file, encoding="klingon")
    for media in ("text/csv; charset=klingon", "text/csv; charset=idna"):
        response = client.post("/predict", content=rows, headers={"content-type": media})
        assert response.status_code == 415


def test_a_dry_run_tells_what_a_training_would_see_and_trains_nothing(client: Client) -> None:
    before = len(client.get("/trainings").json()["trainings"])
    file = table(",a,city,ok", list(range(40)), [1, "NA"], ["rome", "oslo"], [*YN])
    response = train(client, file, dry_run="true")
    assert response.status_code == 200, response.text
    found = response.json()
    assert found["rows"] == 40
    assert found["columns"] == [
        {"name": "a", "type": "number", "missing": 20, "distinct": 1, "role": "feature"},
        {"name": "city", "type": "text", "missing": 0, "distinct": 2, "role": "feature"},
        {"name": "ok", "type": "text", "missing": 0, "distinct": 2, "role": "target"},
        {"name": "Unnamed: 0", "type": "number", "missing": 0, "distinct": 40, "role": "excluded"},
    ]
    assert found["classes"] == [{"label": "n", "rows": 20}, {"label": "y", "rows": 20}]
    assert {note["column"] for note in found["notes"]} == {"a", "Unnamed: 0"}
    assert found["errors"] == []
    assert len(client.get("/trainings").json()["trainings"]) == before


def test_a_dry_run_lists_every_reason_why_a_training_would_be_refused(client: Client) -> None:
    file = {"file": ("file.csv", table("id,ok", [f"x{row}" for row in range(40)], ["y"]))}
    response = client.post("/train", files=file, data={"dry_run": "true"})
    assert [error["pointer"] for error in response.json()["errors"]] == ["/target"]
    response = client.post("/train", files=file, data={"dry_run": "true", "target": "ok"})
    assert response.status_code == 200, response.text
    messages = [error["message"] for error in response.json()["errors"]]
    assert any("one class only" in message for message in messages)
    assert any("identifier" in message for message in messages)


def test_a_data_set_is_read_as_its_owner_says_and_tells_its_notes(client: Client) -> None:
    file = table("zip,a,junk,ok", ["01234", "10115"], [1, "?"], [0], [*YN])
    options = {"target": "ok", "exclude": "junk", "types": json.dumps({"a": "text"})}
    query = client.post(
        "/datasets",
        params={"name": "said", **options},
        content=file,
        headers={"content-type": "text/csv"},
    )
    assert query.status_code == 201, query.text
    form = client.post(
        "/datasets", files={"file": ("file.csv", file)}, data={"name": "form", **options}
    )
    assert form.json()["sha256"] == query.json()["sha256"]
    stored = client.get("/datasets/said").json()
    assert [column["name"] for column in stored["columns"]] == ["zip", "a", "ok"]
    assert [column["type"] for column in stored["columns"]] == ["text"] * 3
    assert {note["column"] for note in stored["notes"]} == {"zip", "a"}

    body = {"dataset": "said", "model_type": "DecisionTreeClassifier", "types": {"zip": "number"}}
    response = client.post("/train", json=body)
    assert response.status_code == 201, response.text
    assert types(client.get("/schema").json()) == {"zip": "number", "a": "text"}
    training = client.get(response.headers["location"]).json()
    assert {note["column"] for note in training["notes"]} >= {"zip", "a"}


def test_options_in_json_are_those_of_a_form(client: Client) -> None:
    rows = [[row, ("rome", "-")[row % 2], YN[row % 2]] for row in range(40)]
    body = {
        "name": "files",
        "model_type": "DecisionTreeClassifier",
        "target": "ok",
        "dataset": {"columns": ["a", "city", "ok"], "rows": rows},
        "exclude": ["a "],
        "types": {" city": "text"},
        "missing": ["-"],
    }
    response = client.post("/train", json=body)
    assert response.status_code == 201, response.text
    (feature,) = client.get("/schema").json()["features"]
    assert feature == {
        "name": "city",
        "type": "text",
        "nullable": True,
        "categories": ["rome"],
        "importance": 0.0,
    }


def test_no_label_is_missing_and_numbers_still_are(client: Client) -> None:
    file = table("age,vote,ok", [1, 2, "NA"], ["Y", "N", "NA"], ["NA", "yes"])
    schema = trained(client, file, missing="[]")
    assert types(schema) == {"age": "number", "vote": "text"}
    assert schema["classes"] == ["NA", "yes"]
    assert predict(client, "age,vote\nNA,NA\n") in (["NA"], ["yes"])


def test_the_note_on_markers_lists_all_that_it_takes(client: Client) -> None:
    file = table("a,b,ok", ["x", "NA", "?", "gone"], ["y", "-"], [*YN])
    schema = trained(client, file, missing="gone")
    assert '"missing": ["gone","NA","?"]' in notes_of(schema, "a")[0]
    schema = trained(client, file, missing='["gone","NA","?"]')
    assert notes_of(schema, "a") == []
    assert schema["features"][0]["categories"] == ["x"]


def test_an_empty_field_where_training_had_a_marker_is_told_of_the_way_out(
    client: Client,
) -> None:
    trained(client, table("city,ok", ["rome", "NA"], [*YN]))
    response = client.predict({"instances": [{"city": None}]})
    assert "'NA'" in response.json()["errors"][0]["message"]
    assert '"missing" in /train' in response.json()["errors"][0]["message"]
