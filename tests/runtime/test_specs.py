"""The argument of the runner: one spec, or the specs of an array."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.argument import ARRAY_INDEX, IndexArgument, parse_argument
from flowyml_aws.runtime.specs import read_spec_at
from flowyml_aws.submission.packing import pack_specs, spec_index
from tests.submission.test_packing import specs_of

RUN = RunLayout("r")
JOBS = ("job-2", "job-0")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


@pytest.fixture
def argument(store: DirectoryArtifactStore) -> str:
    """The argument of an array of two of the jobs of a run."""
    (pack,) = pack_specs(specs_of(3))
    store.put(RUN.specs(0), pack.data)
    index = spec_index(JOBS, pack.places)
    store.put(RUN.array(0), index)
    return f"{store.uri}/{RUN.array(0)}#sha256={hashlib.sha256(index).hexdigest()}"


@pytest.mark.parametrize(("index", "job"), list(enumerate(JOBS)))
def test_a_child_reads_the_spec_of_its_index(
    store: DirectoryArtifactStore, argument: str, index: int, job: str
) -> None:
    place = parse_argument(argument, {ARRAY_INDEX: str(index)})
    assert (place.store, read_spec_at(store, place).job) == (store.uri, job)


def test_an_index_that_was_changed_is_an_error(
    store: DirectoryArtifactStore, argument: str
) -> None:
    store.put(RUN.array(0), store.get(RUN.array(0)).replace(b"0", b"1", 1))
    with pytest.raises(DamagedArtifactError, match="does not contain the spec that was submitted"):
        read_spec_at(store, parse_argument(argument, {ARRAY_INDEX: "0"}))


def test_a_spec_that_was_changed_is_an_error_also_in_an_array(
    store: DirectoryArtifactStore, argument: str
) -> None:
    store.put(RUN.specs(0), store.get(RUN.specs(0)).replace(b"job-0", b"job-9"))
    with pytest.raises(DamagedArtifactError, match="does not contain the spec that was submitted"):
        read_spec_at(store, parse_argument(argument, {ARRAY_INDEX: "1"}))


def test_an_index_outside_of_the_array_is_an_error(
    store: DirectoryArtifactStore, argument: str
) -> None:
    with pytest.raises(DamagedArtifactError, match="has no spec for index 2"):
        read_spec_at(store, parse_argument(argument, {ARRAY_INDEX: "2"}))


def test_the_argument_of_an_array_needs_an_index(argument: str) -> None:
    with pytest.raises(DamagedArtifactError, match="is not the argument of a job") as caught:
        parse_argument(argument, {})
    assert "or <uri of the index of an array>#sha256=<digest>" in caught.value.why


def test_the_argument_of_a_single_job_is_read_as_such_in_any_environment() -> None:
    argument = f"s3://b/runs/r/specs/0.json#sha256={'0' * 64},bytes=1+2"
    assert not isinstance(parse_argument(argument, {ARRAY_INDEX: "3"}), IndexArgument)
