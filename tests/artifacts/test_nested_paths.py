"""Paths inside other values: their files are stored with the value."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy
import pandas
import pytest
from pydantic import BaseModel
from sklearn.linear_model import LinearRegression

from flowyml_aws.artifacts.errors import PickleRefusedError, UnstorableValueError
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.values import encode_value, load_value, save_value
from flowyml_aws.core.errors import UnloadableValueError
from flowyml_aws.local.directory import DirectoryArtifactStore

pytestmark = pytest.mark.version_sensitive


@dataclass(frozen=True)
class Report:
    file: Path
    title: str = "report"


class Model(BaseModel):
    weights: Path


class Holder:
    def __init__(self, path: Path) -> None:
        self.path = path


class OwnPath(type(Path())):  # type: ignore[misc]
    """A subclass of Path."""


class StrangePath(type(Path())):  # type: ignore[misc]
    """A subclass of Path with its own way of pickling."""

    def __reduce__(self) -> Any:
        return str, (str(self),)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of a job, in a folder that no other job has."""
    (tmp_path / "job").mkdir()
    path = tmp_path / "job" / "result.csv"
    path.write_text("a,b")
    return path


def move(store: DirectoryArtifactStore, value: Any, folder: Path) -> Any:
    """Store a value, delete its job's files as on another machine, and load the value."""
    ref = save_value(store, "value", value)
    job = folder / "job"
    if job.exists():
        job.rename(folder / "gone")
    loaded = load_value(store, ref, "value", folder / "assets")
    if (folder / "gone").exists():
        (folder / "gone").rename(job)
    return loaded


CONTAINERS: dict[str, tuple[Any, Any]] = {
    "list": (lambda path: [path], lambda value: value[0]),
    "tuple": (lambda path: (1, path), lambda value: value[1]),
    "dict": (lambda path: {"file": path}, lambda value: value["file"]),
    "key of a dict": (lambda path: {path: 1}, lambda value: next(iter(value))),
    "set": (lambda path: {path}, lambda value: next(iter(value))),
    "frozenset": (lambda path: frozenset({path}), lambda value: next(iter(value))),
    "nested": (lambda path: {"a": [({"b": path},)]}, lambda value: value["a"][0][0]["b"]),
    "dataclass": (Report, lambda value: value.file),
    "pydantic model": (lambda path: Model(weights=path), lambda value: value.weights),
    "attribute": (Holder, lambda value: value.path),
    "subclass": (OwnPath, lambda value: value),
    "subclass in a list": (lambda path: [OwnPath(path)], lambda value: value[0]),
    "array of objects": (
        lambda path: numpy.array([path, None], dtype=object),
        lambda value: value[0],
    ),
    "column": (lambda path: pandas.DataFrame({"file": [path]}), lambda value: value["file"][0]),
    "closure": (lambda path: lambda: path, lambda value: value()),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_path_inside_a_value_carries_its_file(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path, container: str
) -> None:
    make, get = CONTAINERS[container]
    value = make(file)
    loaded = move(store, value, tmp_path)
    path = get(loaded)
    assert type(path) is type(get(value))
    assert path.name == "result.csv"
    assert path.read_text() == "a,b"
    assert path.is_relative_to(tmp_path / "assets")
    assert type(loaded) is type(value)


def test_an_estimator_with_a_path_carries_its_file(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path
) -> None:
    estimator = LinearRegression()
    estimator.source = file
    assert move(store, estimator, tmp_path).source.read_text() == "a,b"


def test_executable_bits_and_links_survive(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path
) -> None:
    file.chmod(0o755)
    folder = file.parent / "model"
    folder.mkdir()
    (folder / "v1").write_text("weights")
    (folder / "latest").symlink_to("v1")
    (file.parent / "link.csv").symlink_to(file)
    loaded = move(store, [file, folder, file.parent / "link.csv"], tmp_path)
    assert os.access(loaded[0], os.X_OK)
    assert (loaded[1] / "latest").readlink() == Path("v1")
    assert loaded[2].readlink() == Path("result.csv")
    assert loaded[2].read_text() == "a,b"


def test_a_link_to_a_file_that_is_not_stored_is_followed(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path
) -> None:
    (file.parent / "link.csv").symlink_to(file)
    (path,) = move(store, [file.parent / "link.csv"], tmp_path)
    assert not path.is_symlink()
    assert path.read_text() == "a,b"


def test_files_of_one_folder_stay_next_to_each_other(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path
) -> None:
    other = file.with_suffix(".index")
    other.write_text("index")
    (file.parent / "elsewhere").mkdir()
    third = file.parent / "elsewhere" / "result.csv"
    third.write_text("third")
    first, second, last = move(store, [file, other, third], tmp_path)
    assert first.with_suffix(".index") == second
    assert second.read_text() == "index"
    assert last.read_text() == "third"
    assert last.parent != first.parent


def test_a_path_into_a_stored_folder_stays_in_it(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path
) -> None:
    loaded_file, folder = move(store, (file, file.parent), tmp_path)
    assert folder / "result.csv" == loaded_file
    assert folder.name == "job"


def test_the_same_path_object_stays_one_object(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path
) -> None:
    first, second, equal = move(store, [file, file, Path(str(file))], tmp_path)
    assert first is second
    assert equal == first


def test_a_relative_path_is_read_from_the_working_directory(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    (path,) = move(store, [Path("../job/result.csv")], tmp_path)
    assert path.read_text() == "a,b"


@pytest.mark.parametrize(
    "path",
    [Path("no/such/file"), Path("/dev/null"), PurePosixPath("/etc/passwd"), Path("x" * 5000)],
    ids=["missing", "device", "pure", "too long"],
)
def test_a_path_that_names_no_file_stays_as_it_is(
    store: DirectoryArtifactStore, tmp_path: Path, path: Path
) -> None:
    assert encode_value("value", [path]).codec == "pickle/1"
    assert move(store, [path], tmp_path) == [path]


@pytest.mark.parametrize("place", [Path(), Path("/"), Path.home(), Path("..")], ids=str)
def test_a_folder_that_belongs_to_the_machine_is_refused(
    store: DirectoryArtifactStore, place: Path
) -> None:
    with pytest.raises(UnstorableValueError, match="of this machine") as caught:
        save_value(store, "settings", Holder(place))
    assert "'settings'" in caught.value.what
    assert "str(path)" in caught.value.fix


def test_a_path_whose_class_defines_its_pickling_is_refused(
    store: DirectoryArtifactStore, file: Path
) -> None:
    with pytest.raises(UnstorableValueError, match="StrangePath") as caught:
        save_value(store, "value", [StrangePath(file)])
    assert "pathlib.Path(path)" in caught.value.fix


def test_equal_values_with_equal_files_have_the_same_digest(tmp_path: Path) -> None:
    values = []
    for place in ("a", "much/deeper/than/a"):
        for name in ("one.txt", "two.txt"):
            (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place / name).write_text("same")
        values.append({"one": tmp_path / place / "one.txt", "two": tmp_path / place / "two.txt"})
    first, second = (encode_value("value", value).identity for value in values)
    assert first == second
    (tmp_path / "a" / "one.txt").write_text("other")
    assert encode_value("value", values[0]).identity != second


def test_a_value_with_files_is_a_tar_with_the_files(
    store: DirectoryArtifactStore, file: Path
) -> None:
    ref = save_value(store, "value", [file])
    assert ref.codec == "pickle-with-files/1"
    with tarfile.open(store.path(artifact_key(ref.sha256))) as tar:
        assert tar.getnames() == ["value", "paths.json", "files/0/result.csv"]


def test_large_buffers_next_to_files_are_restored(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path
) -> None:
    array = numpy.arange(50_000.0)
    loaded, path = move(store, (array, file), tmp_path)
    numpy.testing.assert_array_equal(loaded, array)
    loaded[0] = 1
    assert path.read_text() == "a,b"


def test_a_value_with_files_is_not_read_without_permission(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path
) -> None:
    ref = save_value(store, "value", [file])
    with pytest.raises(PickleRefusedError):
        load_value(store, ref, "value", tmp_path / "assets", allow_pickle=False)


def test_files_of_a_value_that_cannot_be_loaded_are_removed(
    store: DirectoryArtifactStore, tmp_path: Path, file: Path
) -> None:
    ref = save_value(store, "value", [file])
    wrong = ref.model_copy(update={"codec": "directory/1"})
    other = save_value(store, "value", file.parent).model_copy(
        update={"codec": "pickle-with-files/1"}
    )
    load_value(store, wrong, "value", tmp_path / "assets")  # a tar is a valid folder
    with pytest.raises(UnloadableValueError):
        load_value(store, other, "value", tmp_path / "others")
    assert list((tmp_path / "others").iterdir()) == []
