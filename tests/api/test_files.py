"""Files as people have them train as their owner would expect, or are refused with the cause."""

import io
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.support.fakes import FakeRegistry
from tests.support.files import YN, notes_of, predict, refusal, table, train, trained, types
from tests.support.server import Client, serve, settings_for


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("files")
    settings = settings_for(folder / "data", max_upload_bytes=1_000_000)
    with serve(settings, FakeRegistry(folder)) as client:
        yield client


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


def test_an_empty_label_is_refused_with_its_row(client: Client) -> None:
    assert "row 3" in refusal(client, table("a,ok", list(range(40)), ["y", "n", ""]))


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


def test_nan_in_json_is_pointed_at_and_null_is_named(client: Client) -> None:
    body = '{"dataset": {"records": [\n{"a": "NaN", "ok": 1},\n{"a": NaN, "ok": 2}]}}'
    response = client.post("/train", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert "line 3, column 7" in response.json()["detail"]
    assert "null" in response.json()["detail"]


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


def test_the_smallest_numbers_that_there_are_are_scaled_too(client: Client) -> None:
    schema = trained(client, table("x,ok", ["2e-311", "4e-311"], [*YN]))
    assert "power of two" in notes_of(schema, "x")[0]
    assert predict(client, "x\n2e-311\n4e-311\n") == ["y", "n"]


def test_a_bare_file_to_train_is_told_of_the_form_first(client: Client) -> None:
    response = client.post(
        "/train?target=ok", content="a,ok\n1,2\n", headers={"content-type": "text/csv"}
    )
    assert response.status_code == 415
    assert "form" in response.json()["detail"]


def test_a_blank_within_quotes_is_neither_needed_nor_in_the_way_of_a_prediction(
    client: Client,
) -> None:
    schema = trained(client, table('"city",ok', ['"rome "', '"oslo"'], [*YN]))
    assert schema["features"][0]["categories"] == ["oslo", "rome "]
    assert predict(client, 'city\nrome\n"rome "\n oslo\n"oslo "\n') == ["y", "y", "n", "n"]


def test_row_names_without_a_name_are_left_out_with_a_note(client: Client) -> None:
    cars = [f"Mazda RX{row}" for row in range(40)]
    schema = trained(client, table('"",a,ok', cars, [1, 2], [*YN]))
    assert types(schema) == {"a": "number"}
    assert "index" in notes_of(schema, "Unnamed: 0")[0]


def test_a_target_of_measurements_is_told_so_however_they_are_written(client: Client) -> None:
    values = ["-7.57e-05", "0.0125", "1e-3"]
    assert "not whole" in refusal(client, table("a,ok", list(range(40)), values))


def test_fields_between_blanks_are_named_as_the_cause(client: Client) -> None:
    file = "a b ok\n" + "1 2 y\n3 4 n\n" * 20
    assert "separated by blanks" in refusal(client, file)


def test_names_that_are_numbers_get_a_note(client: Client) -> None:
    schema = trained(client, table("2019,2020,ok", [1, 2], [3, 4], [*YN]))
    assert "'2019', '2020'" in notes_of(schema, None)[0]


def test_the_target_in_a_file_to_predict_is_told_as_such(client: Client) -> None:
    trained(client, table("a,ok", [1, "NA", 2], [*YN]))
    response = client.post(
        "/predict", content="a,ok\nNA,y\n1,n\n", headers={"content-type": "text/csv"}
    )
    (problem,) = response.json()["errors"]
    assert problem["pointer"] == "/instances/0/ok"
    assert "what the model predicts" in problem["message"]
    assert "2 of 2 instances" in response.json()["detail"]
