"""External inputs that are folders, before a run is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import If, LocalData, Pipeline, step
from flowyml_aws.artifacts.folder_index import FOLDER_INDEX
from flowyml_aws.client.encoded_inputs import data_problems, encode_inputs, key_types
from flowyml_aws.client.request import RunRequest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2")
    return tmp_path / "data"


def test_a_folder_is_encoded_as_the_index_of_its_files(folder: Path) -> None:
    encoded = encode_inputs({"data": LocalData(folder), "n": 1}, in_place=False)
    assert encoded.values["data"].codec == FOLDER_INDEX
    assert encoded.values["n"].codec == "json/1"
    assert [file.name for file in encoded.folders["data"].files] == ["a.csv"]
    assert encoded.data_bytes == {"data": 3}
    (note,) = encoded.notes
    assert note.startswith(f"input 'data' is the folder {folder} (1 file, 3 bytes): files that")


def test_a_folder_in_place_needs_no_disk(folder: Path) -> None:
    encoded = encode_inputs({"data": LocalData(folder)}, in_place=True)
    assert encoded.data_bytes == {}
    assert "jobs read the folder itself" in encoded.notes[0]


@pytest.mark.parametrize("value", [LocalData("data"), [LocalData("data")]])
def test_a_folder_in_the_context_is_refused(value: Any, tmp_path: Path) -> None:
    (problem,) = data_problems({}, {"data": value}, tmp_path)
    assert problem.fix == (
        "add inputs=['data'] to the step, and pass the folder to the run: inputs={'data': …}"
    )


def test_a_folder_in_a_list_is_refused(folder: Path) -> None:
    (problem,) = data_problems({"parts": [LocalData(folder)]}, {}, folder)
    assert problem.what == "Input 'parts' contains a folder in a list"


def test_a_folder_that_contains_the_project_is_refused(folder: Path) -> None:
    (problem,) = data_problems({"data": LocalData(folder)}, {}, folder / "project")
    assert problem.what == f"Input 'data' contains the project itself: {folder}"


def test_a_cache_key_depends_on_the_type_that_the_step_gets() -> None:
    assert key_types({"data": LocalData("data"), "n": 1}) == {"data": Path(), "n": 1}


def test_a_condition_that_reads_a_folder_is_decided_in_a_job(folder: Path) -> None:
    @step
    def train() -> None:
        pass

    flow = If(lambda data: bool(list(data.iterdir())), train)
    pipeline = Pipeline("p").add_control_flow(flow)
    request: RunRequest = pipeline._request({"inputs": {"data": LocalData(folder)}})
    built, problems = request.build()
    assert built is not None and not problems
    assert built.cases == {}


def test_each_item_of_a_map_gets_a_folder_of_its_own(folder: Path) -> None:
    @step(inputs=["parts"], outputs=["n"])
    def count(parts: Path) -> int:
        return 1

    request: RunRequest = (
        Pipeline("p")
        .add_step(count.map(over="parts"))
        ._request({"inputs": {"parts": [LocalData(folder), LocalData(folder)]}})
    )
    built, problems = request.build()
    assert built is not None and not problems
    assert request.problems(built, None) == []
    assert built.items == {"parts[0]": LocalData(folder), "parts[1]": LocalData(folder)}
