from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from flowyml_aws.artifacts.codecs.files import DirectoryCodec, ExecutableCodec, PathCodec
from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.errors import UnstorableValueError
from tests.artifacts.roundtrip import codec_name


def packed(folder: Path) -> bytes:
    return b"".join(DirectoryCodec().encode(folder).chunks())


def unpacked(data: bytes, tmp_path: Path) -> Path:
    source, target_folder = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    target_folder.mkdir()
    return DirectoryCodec().decode_file(source, target_folder / "value")


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "layers" / "empty").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "größe\n.txt").write_text("any name")
    (folder / ("long" * 40)).write_bytes(b"")
    (folder / "layers" / "0.bin").write_bytes(bytes(range(256)) * 5)
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    return folder


def listing(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_paths_to_files_and_folders_are_not_pickled(folder: Path) -> None:
    assert codec_name(folder) == "directory"
    assert codec_name(folder / "config.json") == "file"


def test_the_stored_object_of_a_file_is_the_file_itself(folder: Path) -> None:
    content = PathCodec().encode(folder / "layers" / "0.bin")
    assert b"".join(content.part(0)) == (folder / "layers" / "0.bin").read_bytes()
    assert content.filename == "0.bin"


def test_a_folder_is_restored_with_all_its_files(folder: Path, tmp_path: Path) -> None:
    assert listing(unpacked(packed(folder), tmp_path)) == listing(folder)


def test_only_executable_files_are_executable_again(folder: Path, tmp_path: Path) -> None:
    loaded = unpacked(packed(folder), tmp_path)
    assert os.access(loaded / "run", os.X_OK)
    assert (loaded / "config.json").stat().st_mode & 0o111 == 0


def test_a_stored_folder_is_a_tar_sorted_by_name(folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(folder))) as archive:
        assert archive.getnames() == sorted(listing(folder), key=PurePosixPath)


def test_the_tar_does_not_depend_on_times_locations_or_permissions(
    folder: Path, tmp_path: Path
) -> None:
    copy = unpacked(packed(folder), tmp_path)
    os.utime(copy / "config.json", (1, 1))
    (copy / "config.json").chmod(0o600)
    assert packed(copy) == packed(folder)


def test_an_empty_folder_is_restored(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert listing(unpacked(packed(tmp_path / "empty"), tmp_path)) == {}


def test_a_link_to_a_member_of_the_folder_stays_a_link(folder: Path, tmp_path: Path) -> None:
    (folder / "latest").symlink_to("layers/0.bin")
    (folder / "layers" / "config").symlink_to(folder / "config.json")  # absolute
    (folder / "all").symlink_to("layers")
    (folder / "self").symlink_to(".")
    loaded = unpacked(packed(folder), tmp_path)
    assert (loaded / "latest").readlink() == Path("layers/0.bin")
    assert (loaded / "layers" / "config").readlink() == Path("../config.json")
    assert (loaded / "all").readlink() == Path("layers")
    assert (loaded / "self").readlink() == Path()
    assert (loaded / "all" / "config").read_text() == "{}"


def test_a_link_out_of_the_folder_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "weights").write_bytes(b"weights")
    (folder / "weights").symlink_to("../blobs/weights")
    (folder / "all").symlink_to(tmp_path / "blobs")
    loaded = unpacked(packed(folder), tmp_path)
    assert not (loaded / "weights").is_symlink()
    assert (loaded / "weights").read_bytes() == b"weights"
    assert (loaded / "all" / "weights").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.symlink_to("missing"), "broken link"),
        (lambda path: path.symlink_to(".."), "folder that contains it"),
        (lambda path: os.mkfifo(path), "neither a file nor a folder"),
    ],
)
def test_a_member_that_cannot_exist_on_other_machines_is_refused(
    folder: Path, make: Callable[[Path], None], why: str
) -> None:
    make(folder / "odd")
    with pytest.raises(UnstorableValueError, match=why) as caught:
        DirectoryCodec().encode(folder)
    assert "odd" in caught.value.why


def test_an_executable_file_stays_executable(folder: Path, tmp_path: Path) -> None:
    assert codec_name(folder / "run") == "executable"
    (tmp_path / "source").write_bytes(b"".join(ExecutableCodec().encode(folder / "run").chunks()))
    loaded = ExecutableCodec().decode_file(tmp_path / "source", tmp_path / "run")
    assert loaded.read_text() == "#!/bin/sh\n"
    assert os.access(loaded, os.X_OK)


def test_the_working_directory_is_stored_under_its_own_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert DirectoryCodec().encode(Path()).filename == "model"


@pytest.mark.parametrize(
    "hostile",
    [
        tar((member("../outside"), b"x")),
        tar((member("a/../../outside"), b"x")),
        tar((member("/tmp/outside"), b"x")),
        tar((member(""), b"x")),
        tar((member("link", tarfile.SYMTYPE, "/etc"), b"")),
        tar((member("link", tarfile.SYMTYPE, "a/../../outside"), b"")),
        tar((member("a", tarfile.SYMTYPE, "b"), b""), (member("a/c"), b"x")),
        tar(
            (member("b", tarfile.DIRTYPE), b""),
            (member("a", tarfile.SYMTYPE, "b/.."), b""),
            (member("link", tarfile.SYMTYPE, "a/../../outside/.."), b""),
        ),
        tar(
            (member("d/e", tarfile.DIRTYPE), b""),
            (member("d/up", tarfile.SYMTYPE, ".."), b""),
            (member("z", tarfile.SYMTYPE, "d/up/../outside"), b""),
        ),
        tar((member("link", tarfile.SYMTYPE, ".."), b""), (member("link/outside"), b"x")),
        tar((member("a"), b"x"), (member("hard", tarfile.LNKTYPE, "a"), b"")),
        tar((member("pipe", tarfile.FIFOTYPE), b"")),
        tar((member("device", tarfile.CHRTYPE), b"")),
        tar((member("a"), b"first"), (member("a"), b"second")),
        tar((member("a"), b"first"), (member("a/b"), b"below a file")),
        tar((member("a/b"), b"first"), (member("a"), b"over a folder")),
    ],
)
def test_a_tar_that_could_write_outside_the_folder_is_refused(
    hostile: bytes, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="member"):
        unpacked(hostile, tmp_path)
    written = set(tmp_path.rglob("*outside*"))
    assert all(path.is_relative_to(tmp_path / "target" / "value") for path in written)


def test_bytes_that_are_not_a_tar_are_refused(tmp_path: Path) -> None:
    with pytest.raises(tarfile.TarError):
        unpacked(b"not a tar" * 100, tmp_path)


def test_a_folder_is_read_in_place_without_a_copy(folder: Path) -> None:
    content = DirectoryCodec().encode(folder)
    assert isinstance(content, Content)
    (folder / "layers" / "0.bin").write_bytes(b"changed")
    with pytest.raises(UnstorableValueError, match="changed while"):
        list(content.part(0))
