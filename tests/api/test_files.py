"""Files as people have them train as their owner would expect, or are refused with the cause."""

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

YN = ("y", "n")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("files")
    settings = settings_for(folder / "data", max_upload_bytes=1_000_000)
    with serve(settings, FakeRegistry(folder)) as client:
        yield client


def table(header: str, *columns: list[Any], separator: str = ",") -> str:
    """Return a CSV file with 40 rows, in which the values of each column repeat."""
    rows = [[values[row % len(values)] for values in columns] for row in range(40)]
    return "\n".join([header, *(separator.join(map(str, row)) for row in rows)]) + "\n"


def train(client: Client, file: str | bytes, **fields: str) -> httpx.Response:
    defaults = {"name": "files", "target": "ok", "model_type": "DecisionTreeClassifier"}
    return client.post("/train", files={"file": ("file.csv", file)}, data={**defaults, **fields})


def trained(client: Client, file: str | bytes, **fields: str) -> dict[str, Any]:
    """Train on a file and return the schema of the version, with the notes of the training."""
    response = train(client, file, **fields)
    assert response.status_code == 201, response.text
    schema: dict[str, Any] = client.get("/schema").json()
    schema["notes"] = response.json()["notes"]
    return schema


def refusal(client: Client, file: str | bytes, status: int = 400, **fields: str) -> str:
    response = train(client, file, **fields)
    assert response.status_code == status, response.text
    return str(response.json()["detail"])


def predict(client: Client, file: str | bytes, media: str = "text/csv") -> list[Any]:
    response = client.post("/predict", content=file, headers={"content-type": media})
    assert response.status_code == 200, response.text
    predictions: list[Any] = response.json()["predictions"]
    return predictions


def notes_of(schema: dict[str, Any], column: str | None) -> list[str]:
    return [note["message"] for note in schema["notes"] if note["column"] == column]


def types(schema: dict[str, Any]) -> dict[str, str]:
    return {feature["name"]: feature["type"] for feature in schema["features"]}


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_file_to_predict_may_be_separated_as_the_trained_one(
    client: Client, separator: str
) -> None:
    numbers = list(range(40))
    trained(
        client, table(separator.join(("a", "b", "ok")), numbers, [1, 2], [*YN], separator=separator)
    )
    for sign in (",", ";", "\t", "|"):
        assert len(predict(client, f"a{sign}b\n1{sign}1\n2{sign}2\n")) == 2


def test_a_blank_line_in_a_file_of_one_column_is_a_missing_value(client: Client) -> None:
    trained(client, table("a,ok", [1, 2, "", 3], [*YN]))
    assert len(predict(client, "a\n1\n\n2\n")) == 3


@pytest.mark.parametrize(
    "labels", [["01", "1", "2"], ["00", "0"], ["1E5", "2E3"], ["0010", "0020"], ["+1", "-1"]]
)
def test_labels_keep_their_spelling(client: Client, labels: list[str]) -> None:
    schema = trained(client, table("a,ok", list(range(40)), labels))
    assert schema["classes"] == sorted(labels)
    assert "spelling" in notes_of(schema, "ok")[0]


def test_one_label_in_two_spellings_is_refused_and_can_be_kept_apart(client: Client) -> None:
    file = table("a,ok", list(range(40)), ["1", "1.0"])
    assert "'1' and '1.0'" in refusal(client, file)
    assert trained(client, file, types='{"ok": "text"}')["classes"] == ["1", "1.0"]


def test_whole_labels_stay_numbers(client: Client) -> None:
    assert trained(client, table("a,ok", list(range(40)), ["1.0", "2.0"]))["classes"] == [1, 2]


def test_codes_are_text_with_a_note(client: Client) -> None:
    schema = trained(client, table("zip,ok", ["01234", "10115"], [*YN]))
    assert schema["features"][0]["categories"] == ["01234", "10115"]
    assert "'01234'" in notes_of(schema, "zip")[0]
    assert len(predict(client, "zip\n01234\n")) == 1


@pytest.mark.parametrize("path", ["/train", "/datasets"])
def test_a_form_over_the_limit_is_too_large(client: Client, path: str) -> None:
    response = client.post(path, files={"file": ("file.csv", b"a" * 1_000_001)})
    assert response.status_code == 413
    assert "1,000,000 bytes" in response.json()["detail"]


def test_markers_among_numbers_and_booleans_are_missing_with_a_note(client: Client) -> None:
    schema = trained(
        client, table("rate,flag,ok", [1, 2, 3, 4, 5, "NA"], ["true", "false", "NA"], [*YN])
    )
    assert types(schema) == {"rate": "number", "flag": "boolean"}
    assert all(feature["nullable"] for feature in schema["features"])
    assert notes_of(schema, "rate") == ["'NA' was read as missing, in 6 rows"]
    rows = [{"rate": 1, "flag": None}, {"rate": None, "flag": True}]
    as_json = client.predict({"instances": rows}).json()["predictions"]
    assert predict(client, "rate,flag\n1,NA\nNA,TRUE\n") == as_json


def test_a_marker_among_labels_is_refused_with_its_row_and_the_way_out(client: Client) -> None:
    file = table("a,ok", list(range(40)), ["y", "n", "NA"])
    message = refusal(client, file)
    assert "row 3" in message
    assert '"missing": []' in message
    assert trained(client, file, missing="[]")["classes"] == ["NA", "n", "y"]


def test_an_empty_label_is_refused_with_its_row(client: Client) -> None:
    assert "row 3" in refusal(client, table("a,ok", list(range(40)), ["y", "n", ""]))


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


@pytest.mark.parametrize("name", ["", '""', "Unnamed: 0"])
@pytest.mark.parametrize("start", [0, 1])
def test_an_index_column_is_left_out_with_a_note(client: Client, name: str, start: int) -> None:
    file = table(f"{name},a,ok", list(range(start, start + 40)), [1, 2, 3], [*YN])
    schema = trained(client, file)
    assert types(schema) == {"a": "number"}
    assert "index" in notes_of(schema, "Unnamed: 0")[0]
    assert len(predict(client, f"{name},a\n7,3\n5,1\n")) == 2


def test_a_column_without_a_name_that_is_no_index_is_refused_and_can_be_left_out(
    client: Client,
) -> None:
    file = table(",a,ok", [5, 3], list(range(40)), [*YN])
    assert '"exclude": ["Unnamed: 0"]' in refusal(client, file)
    assert types(trained(client, file, exclude="Unnamed: 0")) == {"a": "number"}


def test_a_version_answers_every_row_that_it_was_made_from(client: Client) -> None:
    cities = [("rome", "oslo")[row % 2] for row in range(80)] + [f"town{row}" for row in range(20)]
    labels = [YN[row % 2] for row in range(100)]
    file = "city,ok\n" + "".join(f"{c},{ok}\n" for c, ok in zip(cities, labels, strict=True))
    schema = trained(client, file, model_type="RandomForestClassifier")
    assert sorted(schema["features"][0]["categories"]) == sorted(set(cities))
    assert "held-out" in notes_of(schema, "city")[0]
    assert len(predict(client, "city\n" + "\n".join(cities) + "\n")) == 100


def test_names_are_trimmed_in_every_format(client: Client) -> None:
    frame = pd.DataFrame({"age ": np.arange(40.0), " ok": ["y", "n"] * 20})
    sink = io.BytesIO()
    frame.to_parquet(sink)
    schema = trained(client, sink.getvalue())
    assert types(schema) == {"age": "number"}
    assert len(predict(client, "age \n1\n")) == 1
    assert client.post("/predict", json=schema["example"]).status_code == 200


def test_fields_without_quotes_are_trimmed(client: Client) -> None:
    schema = trained(client, table("b, city, ok ", [1, 2], [" rome", "oslo "], [" y", " n "]))
    assert schema["classes"] == ["n", "y"]
    assert client.predict({"instances": [{"b": 1, "city": "rome"}]}).status_code == 200


def test_a_file_without_a_header_is_refused(client: Client) -> None:
    rows = "\n".join(f"{row % 3},{row}.23,{row}.71" for row in range(178))
    assert "first line looks like data" in refusal(client, rows, target="0.71")
    flowers = "5.1,3.5,setosa\n" * 20 + "4.9,3.0,virginica\n" * 20
    assert "first line looks like data" in refusal(client, flowers, target="setosa")


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


def test_nan_in_json_is_pointed_at_and_null_is_named(client: Client) -> None:
    body = '{"dataset": {"records": [\n{"a": "NaN", "ok": 1},\n{"a": NaN, "ok": 2}]}}'
    response = client.post("/train", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert "line 3, column 7" in response.json()["detail"]
    assert "null" in response.json()["detail"]


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


def test_decimal_commas_are_read_in_training_and_in_predictions(client: Client) -> None:
    schema = trained(client, table("x;b;ok", ["1,5", "2,5"], [0], [*YN], separator=";"))
    assert types(schema) == {"x": "number", "b": "number"}
    assert notes_of(schema, "x") == ["has decimal commas"]
    assert predict(client, "x;b\n1,5;0\n2.5;0\n") == ["y", "n"]
    assert predict(client, 'x,b\n"1,5",0\n2.5,0\n') == ["y", "n"]
    instances = [{"x": 1.5, "b": 0}, {"x": 2.5, "b": 0}]
    assert client.predict({"instances": instances}).json()["predictions"] == ["y", "n"]


def test_the_index_of_a_frame_is_left_out_of_parquet_and_of_arrow(client: Client) -> None:
    frame = pd.DataFrame({"a": np.arange(40.0), "ok": ["y", "n"] * 20}, index=np.arange(40) * 7)
    for index in (None, "key"):
        frame.index.name = index
        sink = io.BytesIO()
        frame.to_parquet(sink)
        schema = trained(client, sink.getvalue())
        assert types(schema) == {"a": "number"}
        assert "index" in notes_of(schema, index or "__index_level_0__")[0]
        rows, stream = pa.Table.from_pandas(frame[["a"]]), io.BytesIO()
        with pa.ipc.new_stream(stream, rows.schema) as writer:
            writer.write_table(rows)
        media = "application/vnd.apache.arrow.stream"
        assert len(predict(client, stream.getvalue(), media)) == 40


def test_a_line_that_names_the_separator_is_read(client: Client) -> None:
    file = "sep=;\r\n" + table("a;b;ok", [1, 2], [0], [*YN], separator=";")
    assert types(trained(client, file)) == {"a": "number", "b": "number"}
    assert predict(client, "sep=;\na;b\n1;0\n") == ["y"]


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_title_above_the_table_is_named(client: Client, separator: str) -> None:
    file = "Sales of May\n" + table(f"a{separator}ok", [1, 2], [*YN], separator=separator)
    assert "title" in refusal(client, file)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel file"),
        (b"PK\x03\x04....xl/workbook.xml", "Excel file (.xlsx)"),
        (b"PK\x03\x04....rows.csv", "zip file"),
        (b"\x1f\x8b\x08\x00", "gzip file"),
    ],
)
def test_a_file_that_is_no_text_is_called_by_its_kind(
    client: Client, start: bytes, kind: str
) -> None:
    message = refusal(client, start + b"\0" * 100, status=415)
    assert kind in message
    assert "CSV" in message


@pytest.mark.parametrize("model_type", ["RandomForestClassifier", "GradientBoostingClassifier"])
def test_values_too_small_for_trees_are_scaled_with_a_note(client: Client, model_type: str) -> None:
    values = np.random.default_rng(0).integers(1, 10, 200) * 1e-9
    rows = "".join(f"{value!r},{YN[int(value > 5e-9)]}\n" for value in values.tolist())
    response = train(client, "x,ok\n" + rows, model_type=model_type)
    assert response.json()["metrics"]["accuracy"] > 0.9
    assert "power of two" in response.json()["notes"][0]["message"]
    assert predict(client, "x\n2e-9\n8e-9\n") == ["y", "n"]


def test_a_bare_file_to_train_is_told_of_the_form_first(client: Client) -> None:
    response = client.post(
        "/train?target=ok", content="a,ok\n1,2\n", headers={"content-type": "text/csv"}
    )
    assert response.status_code == 415
    assert "form" in response.json()["detail"]


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
        "exclude": ["a"],
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
    }
