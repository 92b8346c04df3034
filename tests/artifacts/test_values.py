from __future__ import annotations

import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest
import xgboost
from pydantic import ValidationError
from sklearn.linear_model import LinearRegression

from flowyml_aws.artifacts.codecs.selection import _BUILT_IN
from flowyml_aws.artifacts.content import PART_BYTES
from flowyml_aws.artifacts.errors import PickleRefusedError, UnstorableValueError
from flowyml_aws.artifacts.folder_index import FolderFile, FolderIndex
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.list_index import ListIndex, ListItem
from flowyml_aws.artifacts.prefix_listing import PrefixListing
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    MissingExtraError,
    SettingsError,
    UnloadableValueError,
)
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.stores import overwrite

BIG = PART_BYTES + 12_345


@pytest.fixture
def local(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "values"


@pytest.mark.parametrize(
    "value",
    [
        None,
        0.1,
        "text \ud800",
        b"",
        b"\x01" * BIG,
        {"accuracy": [0.5, None]},
        (1, {2}),
        ["x" * 1000, b"\x02" * BIG],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_restored(store: ArtifactStore, folder: Path, value: Any) -> None:
    ref = save_value(store, "asset", value)
    loaded = load_value(store, ref, "asset", folder)
    assert type(loaded) is type(value)
    assert loaded == value


def test_a_large_array_is_restored(store: ArtifactStore, folder: Path) -> None:
    array = numpy.asfortranarray(numpy.arange(BIG // 8, dtype=numpy.float64).reshape(-1, 1))
    loaded = load_value(store, save_value(store, "array", array), "array", folder)
    numpy.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("size", [0, 10, BIG])
def test_a_file_keeps_its_name(
    store: ArtifactStore, folder: Path, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "confusion matrix.png"
    path.write_bytes(os.urandom(size))
    ref = save_value(store, "picture", path)
    loaded = load_value(store, ref, "picture", folder)
    assert loaded.name == "confusion matrix.png"
    assert loaded.is_relative_to(folder)
    assert loaded.read_bytes() == path.read_bytes()


def test_a_folder_keeps_its_name(store: ArtifactStore, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model" / "layers").mkdir(parents=True)
    (tmp_path / "model" / "layers" / "0").write_bytes(b"weights")
    ref = save_value(store, "model", tmp_path / "model")
    loaded = load_value(store, ref, "model", folder)
    assert loaded.name == "model"
    assert (loaded / "layers" / "0").read_bytes() == b"weights"


def test_files_with_the_same_name_do_not_collide(
    local: DirectoryArtifactStore, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "report").write_bytes(b"same")
    ref = save_value(local, "report", tmp_path / "report")
    first = load_value(local, ref, "data/report", folder)
    second = load_value(local, ref, "data/report", folder)
    assert first != second


def test_loading_a_file_leaves_no_temporary_files(
    local: DirectoryArtifactStore, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "report").write_bytes(b"x")
    (tmp_path / "model").mkdir()
    for path in (tmp_path / "report", tmp_path / "model"):
        load_value(local, save_value(local, "asset", path), "asset", folder)
    assert all(path.is_dir() for path in folder.iterdir())
    assert len(list(folder.iterdir())) == 2


def test_equal_values_are_stored_as_one_object(local: DirectoryArtifactStore) -> None:
    first = save_value(local, "one", {"a": 1})
    second = save_value(local, "two", {"a": 1})
    assert first == second
    assert local.children("artifacts/") == [first.sha256[:2]]


def test_a_ref_contains_location_digest_size_and_codec(local: DirectoryArtifactStore) -> None:
    ref = save_value(local, "text", "abc")
    assert ref == ArtifactRef(
        uri=f"{local.uri}/artifacts/ba/{ref.sha256}",
        sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        size_bytes=3,
        codec="text/1",
    )


def values(tmp_path: Path) -> dict[str, Callable[[], Any]]:
    """Return functions that create a value, by the name of its codec."""

    def folder() -> Path:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "a").write_bytes(b"a")
        return tmp_path / "folder"

    def file() -> Path:
        (tmp_path / "file").write_bytes(b"f" * 1000)
        return tmp_path / "file"

    def program() -> Path:
        (tmp_path / "program").write_bytes(b"p" * 1000)
        (tmp_path / "program").chmod(0o755)
        return tmp_path / "program"

    frame = {"text": ["a", "b"], "number": [1, 2]}
    return {
        "json": lambda: {"a": 1},
        "items": lambda: ListIndex(length=1, items=(ListItem(position=0, absent="skipped"),)),
        "folder": lambda: FolderIndex(files=(FolderFile(path="a", size_bytes=0, sha256="0" * 64),)),
        "s3-prefix": lambda: PrefixListing(uri="s3://bucket/", objects=()),
        "text": lambda: "some text",
        "bytes": lambda: b"b" * 1000,
        "numpy": lambda: numpy.arange(1000),
        "numpy-scalar": lambda: numpy.float64(0.5),
        "pickle": lambda: (numpy.ones(3000), "x"),
        "pickle-with-files": lambda: [file()],
        "file": file,
        "executable": program,
        "directory": folder,
        "arrow": lambda: pyarrow.table(frame),
        "pandas": lambda: pandas.DataFrame(frame),
        "polars": lambda: polars.DataFrame(frame),
        "sklearn": lambda: LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]),
        "xgboost": booster,
        "torch": lambda: {"weight": pytest.importorskip("torch", reason=NO_TORCH).ones(3)},
    }


def booster() -> Any:
    numbers = numpy.arange(40.0).reshape(20, 2)
    return xgboost.train({"max_depth": 1}, xgboost.DMatrix(numbers, numbers[:, 0]), 2)


NO_TORCH = "PyTorch is not installed (up to 3 GB)"
KINDS = sorted(values(Path()))


def test_every_codec_is_tested_with_damaged_values() -> None:
    assert sorted({codec.name for codec in _BUILT_IN}) == KINDS


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda data: bytes([data[0] ^ 128]) + data[1:],
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: bytes(len(data)),
    ],
    ids=["flipped at the end", "flipped at the start", "one byte short", "half", "empty", "zeros"],
)
def test_the_error_for_a_damaged_value_names_its_asset_and_object(
    store: ArtifactStore,
    folder: Path,
    tmp_path: Path,
    kind: str,
    damage: Callable[[bytes], bytes],
) -> None:
    ref = save_value(store, "weights", values(tmp_path)[kind]())
    key = artifact_key(ref.sha256)
    assert ref.codec == f"{kind}/1"
    overwrite(store, key, damage(store.get(key)))
    with pytest.raises(DamagedArtifactError) as caught:
        load_value(store, ref, "weights", folder)
    assert "'weights'" in caught.value.what
    assert f"{store.uri}/{key}" in caught.value.what
    assert f"expected {ref.size_bytes} bytes with SHA-256 {ref.sha256}" in caught.value.why
    assert "found" in caught.value.why
    assert not folder.exists() or list(folder.iterdir()) == []


# These codecs decode any bytes, or any value of the other codec: JSON is valid text, for example.
ANY_BYTES = {"bytes", "file", "executable", "text"}
ALIKE = {
    ("numpy-scalar", "numpy"),
    ("json", "text"),
    ("items", "json"),
    ("folder", "json"),
    ("s3-prefix", "json"),
    ("pickle-with-files", "directory"),
}


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (kind, other)
        for kind in KINDS
        for other in KINDS
        if other not in {kind} | ANY_BYTES and (kind, other) not in ALIKE
    ],
)
def test_the_error_for_a_ref_with_the_wrong_codec_names_asset_and_codec(
    local: DirectoryArtifactStore, folder: Path, tmp_path: Path, kind: str, other: str
) -> None:
    if other == "torch":
        pytest.importorskip("torch", reason=NO_TORCH)
    ref = save_value(local, "weights", values(tmp_path)[kind]())
    wrong_ref = ref.model_copy(update={"codec": f"{other}/1", "filename": "a"})
    with pytest.raises(UnloadableValueError, match="'weights'") as caught:
        load_value(local, wrong_ref, "weights", folder)
    assert f"{other}/1" in caught.value.why


LIBRARIES = {
    "numpy": "numpy",
    "numpy-scalar": "numpy",
    "arrow": "pyarrow",
    "pandas": "pandas",
    "polars": "polars",
    "sklearn": "scikit-learn",
    "xgboost": "xgboost",
    "torch": "torch",
}


@pytest.mark.parametrize("item_bytes", [1, 2, 4, 16])
def test_a_ref_with_a_wrong_size_of_shuffled_numbers_is_refused(
    local: DirectoryArtifactStore, folder: Path, item_bytes: int
) -> None:
    ref = save_value(local, "ids", numpy.arange(1 << 18))
    assert ref.compression is not None
    wrong_compression = ref.compression.model_copy(update={"item_bytes": item_bytes})
    with pytest.raises(UnloadableValueError, match=r"not an \.npy file"):
        load_value(local, ref.model_copy(update={"compression": wrong_compression}), "ids", folder)


def test_loading_shuffled_numbers_without_numpy_says_what_to_install(
    local: DirectoryArtifactStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = save_value(local, "ids", numpy.arange(1 << 18))
    assert ref.compression is not None
    assert ref.compression.item_bytes == 8
    assert load_value(local, ref, "ids", folder)[-1] == (1 << 18) - 1
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingExtraError, match="install numpy"):
        load_value(local, ref, "ids", folder)


@pytest.mark.parametrize("kind", LIBRARIES)
def test_the_error_for_a_missing_library_says_what_to_install(
    local: DirectoryArtifactStore,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    package = LIBRARIES[kind]
    ref = save_value(local, "weights", values(tmp_path)[kind]())
    monkeypatch.setitem(sys.modules, package.replace("scikit-learn", "sklearn"), None)
    with pytest.raises(MissingExtraError, match=f"install {package}") as caught:
        load_value(local, ref, "weights", folder)
    assert "'weights'" in caught.value.what


@pytest.mark.parametrize("kind", KINDS)
def test_no_code_from_a_store_runs_if_pickle_is_not_allowed(
    local: DirectoryArtifactStore, folder: Path, tmp_path: Path, kind: str
) -> None:
    ref = save_value(local, "weights", values(tmp_path)[kind]())
    if kind not in ("pickle", "pickle-with-files", "sklearn"):
        load_value(local, ref, "weights", folder, allow_pickle=False)
        return
    with pytest.raises(PickleRefusedError) as caught:
        load_value(local, ref, "weights", folder, allow_pickle=False)
    assert "'weights'" in caught.value.what
    assert f"{kind}/1" in caught.value.why
    assert "allow_pickle" in caught.value.fix


def test_a_refused_pickle_is_not_read(local: DirectoryArtifactStore, folder: Path) -> None:
    ref = save_value(local, "weights", (1, 2))
    local.path(artifact_key(ref.sha256)).unlink()
    with pytest.raises(PickleRefusedError):
        load_value(local, ref, "weights", folder, allow_pickle=False)


@pytest.mark.parametrize("kind", ["bytes", "file"])
def test_damage_in_one_of_several_parts_is_an_error(
    store: ArtifactStore, folder: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "file").write_bytes(b"b" * BIG)
    value: Any = tmp_path / "file" if kind == "file" else b"b" * BIG
    ref = save_value(store, "weights", value)
    overwrite(store, artifact_key(ref.sha256), flipped(b"b" * BIG))
    with pytest.raises(DamagedArtifactError, match="'weights'"):
        load_value(store, ref, "weights", folder)
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_for_a_missing_value_names_its_asset_and_object(
    store: ArtifactStore, folder: Path, tmp_path: Path, kind: str
) -> None:
    elsewhere = DirectoryArtifactStore(tmp_path / "elsewhere")
    ref = save_value(elsewhere, "weights", values(tmp_path)[kind]())
    with pytest.raises(ArtifactNotFoundError) as caught:
        load_value(store, ref, "weights", folder)
    assert "'weights'" in caught.value.what
    assert f"{store.uri}/{artifact_key(ref.sha256)}" in caught.value.why
    assert ref.sha256 in caught.value.why


@pytest.mark.parametrize("size", [0, 1, 40, 42, PART_BYTES + 1, 10**15])
@pytest.mark.parametrize("kind", ["bytes", "file"])
def test_a_ref_with_a_wrong_size_is_an_error(
    local: DirectoryArtifactStore, folder: Path, tmp_path: Path, kind: str, size: int
) -> None:
    (tmp_path / "file").write_bytes(b"x" * 41)
    value: Any = tmp_path / "file" if kind == "file" else b"x" * 41
    ref = save_value(local, "asset", value).model_copy(update={"size_bytes": size})
    with pytest.raises(DamagedArtifactError, match="'asset'"):
        load_value(local, ref, "asset", folder)


@pytest.mark.parametrize(
    ("update", "error"),
    [
        ({"codec": "json/1"}, UnloadableValueError),
        ({"codec": "numpy/1"}, UnloadableValueError),
        ({"codec": "pickle/1"}, UnloadableValueError),
        ({"codec": "text/1"}, UnloadableValueError),
        ({"codec": "directory/1", "filename": "a"}, UnloadableValueError),
        ({"codec": "file/1"}, DamagedArtifactError),
        ({"codec": "json"}, MissingExtraError),
        ({"codec": "json/9"}, MissingExtraError),
        ({"sha256": "0" * 64}, DamagedArtifactError),
        ({"uri": "s3://other/artifacts/00/" + "0" * 64}, DamagedArtifactError),
    ],
)
def test_a_ref_with_a_wrong_field_is_an_error(
    local: DirectoryArtifactStore, folder: Path, update: dict[str, str], error: type[Exception]
) -> None:
    ref = save_value(local, "asset", b"\xff" * 600).model_copy(update=update)
    with pytest.raises(error):
        load_value(local, ref, "asset", folder)
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc/passwd", "../../outside", "a\0b"])
def test_a_ref_with_an_unsafe_file_name_is_an_error(
    local: DirectoryArtifactStore, folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    ref = save_value(local, "asset", tmp_path / "file").model_copy(update={"filename": name})
    with pytest.raises(DamagedArtifactError, match="plain file name"):
        load_value(local, ref, "asset", folder)


@pytest.mark.parametrize(
    "field", [{"sha256": "../../etc"}, {"sha256": "A" * 64}, {"size_bytes": -1}, {"extra": 1}]
)
def test_a_ref_is_validated_when_it_is_created(field: dict[str, Any]) -> None:
    fields = {"uri": "u", "sha256": "0" * 64, "size_bytes": 0, "codec": "json/1"}
    ArtifactRef.model_validate(fields)
    with pytest.raises(ValidationError):
        ArtifactRef.model_validate(fields | field)


def open_file(stack: ExitStack) -> Any:
    return stack.enter_context(Path(os.devnull).open())


class Broken:
    def __reduce__(self) -> Any:
        raise RuntimeError("this class cannot be pickled")


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        (lambda _: (n for n in range(3)), "list"),
        (open_file, "Path"),
        (lambda stack: {"nested": open_file(stack)}, "plain data"),
        (lambda stack: stack.enter_context(socket.socket()), "plain data"),
        (lambda _: threading.Lock(), "plain data"),
        (lambda _: [threading.Lock()], "plain data"),
        (lambda _: Broken(), "plain data"),
        (lambda _: Path("missing"), "write the file"),
    ],
    ids=["generator", "file", "nested file", "socket", "lock", "nested lock", "broken", "path"],
)
def test_the_error_for_an_unstorable_value_names_its_asset(
    local: DirectoryArtifactStore, make: Callable[[ExitStack], Any], fix: str
) -> None:
    with ExitStack() as stack, pytest.raises(UnstorableValueError) as caught:
        save_value(local, "predictions", make(stack))
    assert "'predictions'" in caught.value.what
    assert fix in caught.value.fix
    assert local.children("") == []


def test_the_error_for_a_missing_module_names_it(
    local: DirectoryArtifactStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "remote_only.py").write_text("class Thing: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import remote_only  # type: ignore[import-not-found]

    ref = save_value(local, "thing", remote_only.Thing())
    monkeypatch.undo()
    del sys.modules["remote_only"]
    with pytest.raises(MissingExtraError, match="install remote_only") as caught:
        load_value(local, ref, "thing", folder)
    assert "'thing'" in caught.value.what


def test_the_error_for_a_class_that_cannot_be_loaded_names_its_module_and_the_cause(
    local: DirectoryArtifactStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "signals_only.py"
    module.write_text("class Thing: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import signals_only  # type: ignore[import-not-found]

    ref = save_value(local, "thing", [signals_only.Thing()])
    del sys.modules["signals_only"]
    module.write_text("raise ValueError('signal only works in main thread')\n")
    with pytest.raises(UnloadableValueError, match="'thing'") as caught:
        load_value(local, ref, "thing", folder)
    assert "signals_only.Thing failed with ValueError: signal only works" in caught.value.why
    assert "are intact" in caught.value.why
    assert "signals_only.Thing" in caught.value.fix


class Strict:
    """A value that can be pickled, but refuses to be unpickled."""

    def __setstate__(self, state: object) -> None:
        raise LookupError("the registry is empty")

    def __getstate__(self) -> object:
        return {"a": 1}


def test_the_error_for_a_value_that_refuses_to_be_loaded_names_its_class_and_the_cause(
    local: DirectoryArtifactStore, folder: Path
) -> None:
    with pytest.raises(UnloadableValueError) as caught:
        load_value(local, save_value(local, "strict", (Strict(),)), "strict", folder)
    assert f"{__name__}.Strict failed with LookupError: the registry is empty" in caught.value.why
    assert isinstance(caught.value.__cause__, LookupError)


def test_the_error_for_deep_nesting_says_how_to_avoid_it(local: DirectoryArtifactStore) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(UnstorableValueError, match="nested too deeply") as caught:
        save_value(local, "tree", nested)
    assert "flatter" in caught.value.fix
    while nested:  # otherwise, freeing it overflows the stack of old versions of Python
        nested = nested.pop()


def test_errors_of_values_survive_pickling(local: DirectoryArtifactStore) -> None:
    with pytest.raises(UnstorableValueError) as caught:
        save_value(local, "asset", iter([]))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (UnstorableValueError, str(caught.value))


@pytest.mark.parametrize("suffix", ["", ".bin"])
def test_a_file_name_that_is_too_long_for_this_machine_is_an_error_that_names_the_asset(
    local: DirectoryArtifactStore, folder: Path, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"data")
    ref = save_value(local, "weights", file)
    long = ref.model_copy(update={"filename": "n" * 300 + suffix})
    with pytest.raises(UnloadableValueError, match="'weights' can't be read"):
        load_value(local, long, "weights", folder)


def test_a_folder_for_files_that_can_not_be_written_is_an_error_that_names_the_asset(
    local: DirectoryArtifactStore, tmp_path: Path
) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"data")
    ref = save_value(local, "weights", file)
    with pytest.raises(SettingsError, match="'weights' can't be written to this machine"):
        load_value(local, ref, "weights", file / "folder")
