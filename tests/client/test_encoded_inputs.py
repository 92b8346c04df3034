"""External inputs that are folders, before a run is submitted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import If, LocalData, Pipeline, S3Prefix, step
from flowyml_aws.artifacts.content import MAX_PARTS, PART_BYTES
from flowyml_aws.artifacts.folder_index import FOLDER_INDEX
from flowyml_aws.artifacts.prefix_listing import PREFIX_LISTING, PrefixListing, PrefixObject
from flowyml_aws.client.encoded_inputs import data_problems, encode_inputs, key_types
from flowyml_aws.client.request import RunRequest
from flowyml_aws.core.data_inputs import PrefixMode
from flowyml_aws.core.errors import InvalidDataError
from flowyml_aws.planning.data import PlannedData


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2")
    return tmp_path / "data"


def never_listed(prefix: S3Prefix) -> PrefixListing | None:
    raise AssertionError(prefix)


def test_a_folder_is_encoded_as_the_index_of_its_files(folder: Path) -> None:
    encoded = encode_inputs({"data": LocalData(folder), "n": 1}, never_listed)
    assert encoded.values["data"].codec == FOLDER_INDEX
    assert encoded.values["n"].codec == "json/1"
    assert [file.name for file in encoded.folders["data"].files] == ["a.csv"]
    assert encoded.data == {"data": PlannedData(3)}
    (note,) = encoded.notes
    assert note.startswith(f"input 'data' is the folder {folder} (1 file, 3 bytes): files that")


def test_a_file_that_is_too_large_for_an_object_is_refused_before_it_is_read(folder: Path) -> None:
    os.truncate(folder / "a.csv", MAX_PARTS * PART_BYTES + 1)
    with pytest.raises(InvalidDataError, match=r"it has 167\.8 GB; the limit is 167\.8 GB"):
        encode_inputs({"data": LocalData(folder)}, never_listed)


def test_a_folder_in_place_needs_no_disk(folder: Path) -> None:
    encoded = encode_inputs({"data": LocalData(folder)}, never_listed, free_bytes=10)
    assert encoded.data == {"data": PlannedData(0)}
    assert "jobs read the folder itself" in encoded.notes[0]


PREFIX = S3Prefix("s3://bucket/data")
LISTING = PrefixListing(
    uri=PREFIX.uri, objects=(PrefixObject(path="a.csv", size_bytes=3000, etag='"1"'),)
)


def test_a_prefix_is_encoded_as_the_listing_of_its_objects() -> None:
    encoded = encode_inputs({"data": PREFIX}, lambda _: LISTING)
    assert encoded.values["data"].codec == PREFIX_LISTING
    assert encoded.data == {"data": PlannedData(3000)}
    assert encoded.notes == [
        "input 'data' is s3://bucket/data/ (1 object, 3.0 kB): each job that reads them downloads "
        "them; their role must be allowed to (`data_buckets`)"
    ]


def test_a_prefix_that_changed_has_another_identity() -> None:
    changed = LISTING.model_copy(
        update={"objects": (LISTING.objects[0].model_copy(update={"etag": '"2"'}),)}
    )
    one = encode_inputs({"data": PREFIX}, lambda _: LISTING).values["data"].identity
    other = encode_inputs({"data": PREFIX}, lambda _: changed).values["data"].identity
    assert one != other


@pytest.mark.parametrize(("mode", "must_mount"), [("mount", True), ("auto", False)])
def test_the_mode_of_a_prefix_decides_how_jobs_read_it_and_not_its_identity(
    mode: PrefixMode, must_mount: bool
) -> None:
    encoded = encode_inputs({"data": S3Prefix(PREFIX.uri, mode)}, lambda _: LISTING)
    assert encoded.data == {"data": PlannedData(3000, PREFIX.uri, must_mount)}
    downloaded = encode_inputs({"data": PREFIX}, lambda _: LISTING)
    assert encoded.values["data"].identity == downloaded.values["data"].identity


def test_a_prefix_that_is_not_listed_is_a_note() -> None:
    encoded = encode_inputs({"data": PREFIX}, lambda _: None)
    assert encoded.values == {}
    assert encoded.notes == [
        "input 'data': s3://bucket/data/ was not listed, so its size is not in the plan"
    ]


def test_a_prefix_that_is_larger_than_the_disk_of_this_machine_is_refused() -> None:
    with pytest.raises(InvalidDataError, match=r"3\.0 kB.* has 2\.0 kB free"):
        encode_inputs({"data": PREFIX}, lambda _: LISTING, free_bytes=2000)


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
    request: RunRequest = pipeline.request({"inputs": {"data": LocalData(folder)}})
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
        .request({"inputs": {"parts": [LocalData(folder), LocalData(folder)]}})
    )
    built, problems = request.build()
    assert built is not None and not problems
    assert request.problems(built, None) == []
    assert built.items == {"parts[0]": LocalData(folder), "parts[1]": LocalData(folder)}
