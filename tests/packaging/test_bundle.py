from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
import zstandard

from flowyml_aws.core.errors import DamagedArtifactError, SettingsError
from flowyml_aws.packaging.bundle import BundleLimits, bundle_notes, make_bundle
from flowyml_aws.packaging.files import project_files
from flowyml_aws.runtime.unpacking import unpack

MIB = 2**20


def make_project(folder: Path, names: tuple[str, ...] = ("a.py", "pkg/b.py", "run.sh")) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"# %b\n" % os.fsencode(name))
        path.chmod(0o755 if name.endswith(".sh") else 0o644)
    return folder


def digest(root: Path) -> str:
    return make_bundle(project_files(root).paths).sha256


def unpacked(root: Path, to: Path) -> dict[str, Path]:
    to.mkdir()
    unpack(make_bundle(project_files(root).paths).data, to, "the bundle")
    return {path.relative_to(to).as_posix(): path for path in to.rglob("*") if path.is_file()}


def test_unchanged_code_has_an_unchanged_digest(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    before = digest(root)
    os.utime(root / "a.py", (1, 1))
    os.utime(root / "pkg", (2, 2))
    assert digest(root) == before


def test_the_order_in_which_files_were_created_does_not_matter(tmp_path: Path) -> None:
    names = ("z.py", "a.py", "pkg/b.py", "pkg/__init__.py")
    first = make_project(tmp_path / "first", names)
    second = make_project(tmp_path / "second", tuple(reversed(names)))
    assert digest(first) == digest(second)


def test_the_umask_does_not_matter(tmp_path: Path) -> None:
    first, second = make_project(tmp_path / "first"), make_project(tmp_path / "second")
    for path in second.rglob("*.py"):
        path.chmod(0o600)
    (second / "run.sh").chmod(0o700)
    assert digest(first) == digest(second)


@pytest.mark.parametrize("change", ["content", "name", "executable bit", "additional file"])
def test_changed_code_has_a_different_digest(tmp_path: Path, change: str) -> None:
    root = make_project(tmp_path)
    before = digest(root)
    if change == "content":
        (root / "a.py").write_text("# A.py\n")
    elif change == "name":
        (root / "a.py").rename(root / "c.py")
    elif change == "executable bit":
        (root / "a.py").chmod(0o755)
    else:
        (root / "more.py").touch()
    assert digest(root) != before


def test_files_are_unpacked_as_they_were_packed(tmp_path: Path) -> None:
    root = make_project(tmp_path / "in", ("a.py", "deep/er/b.bin", "run.sh", "empty"))
    (root / "deep/er/b.bin").write_bytes(bytes(range(256)) * 1000)
    (root / "empty").write_bytes(b"")
    out = unpacked(root, tmp_path / "out")
    assert {name: path.read_bytes() for name, path in out.items()} == {
        name: path.read_bytes() for name, path in project_files(root).paths.items()
    }
    assert os.access(out["run.sh"], os.X_OK)
    assert out["a.py"].stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "name",
    ["größe.py", "数据/模型.txt", "with space.txt", "a" * 150 + ".txt", "-dash", "new\nline"],
)
def test_any_name_survives(tmp_path: Path, name: str) -> None:
    root = make_project(tmp_path / "in", (name,))
    assert list(unpacked(root, tmp_path / "out")) == [name]


def test_a_name_that_is_not_unicode_survives(tmp_path: Path) -> None:
    name = os.fsdecode(b"latin-\xe9.txt")
    try:
        root = make_project(tmp_path / "in", (name,))
    except OSError:
        pytest.skip("this file system allows only Unicode names")
    assert list(unpacked(root, tmp_path / "out")) == [name]


def test_a_project_without_files_has_an_empty_bundle(tmp_path: Path) -> None:
    assert unpacked(tmp_path, tmp_path / "out") == {}


def test_a_large_file_causes_a_warning_that_says_how_to_exclude_it(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(2 * MIB))
    (tmp_path / "code.py").touch()
    (warning,) = bundle_notes(project_files(tmp_path), BundleLimits(large_file_bytes=MIB))
    assert warning.startswith("data.bin is 2 MiB")
    assert ".flowymlignore" in warning


def test_a_large_total_of_small_files_causes_a_warning_that_names_the_largest(
    tmp_path: Path,
) -> None:
    for n in range(5):
        (tmp_path / f"{n}.bin").write_bytes(bytes(n * MIB))
    limits = BundleLimits(large_file_bytes=5 * MIB, large_total_bytes=9 * MIB)
    (warning,) = bundle_notes(project_files(tmp_path), limits)
    assert "the project's files total 10 MiB" in warning
    assert "4.bin (4 MiB), 3.bin (3 MiB), 2.bin (2 MiB)" in warning
    assert ".flowymlignore" in warning


def test_small_code_causes_no_warning(tmp_path: Path) -> None:
    files = project_files(make_project(tmp_path))
    assert bundle_notes(files) == ()
    bundle = make_bundle(files.paths)
    assert (bundle.files, bundle.size_bytes) == (3, len("# a.py\n# pkg/b.py\n# run.sh\n"))


def test_a_total_over_the_limit_is_refused_and_the_largest_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(3 * MIB))
    with pytest.raises(SettingsError) as caught:
        bundle_notes(project_files(tmp_path), BundleLimits(max_total_bytes=2 * MIB))
    assert caught.value.what == "The bundle is too large: the project's files total 3 MiB"
    assert "the limit is 2 MiB; the largest are data.bin (3 MiB)" in caught.value.why
    assert ".flowymlignore" in caught.value.fix


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    files = project_files(root).paths
    (root / "a.py").chmod(0)
    if os.access(root / "a.py", os.R_OK):  # root can read every file, so delete it
        (root / "a.py").unlink()
    with pytest.raises(SettingsError, match=r"a\.py"):
        make_bundle(files)


def packed_members(*members: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return zstandard.compress(packed.getvalue())


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "entry",
    [
        member("../outside"),
        member("a/../../outside"),
        member("/etc/outside"),
        member("link", tarfile.SYMTYPE, "/etc"),
        member("hard", tarfile.LNKTYPE, "/etc/passwd"),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_a_bundle_with_an_unsafe_member_is_refused(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    to = tmp_path / "to"
    to.mkdir()
    with pytest.raises(DamagedArtifactError, match="Unsafe member"):
        unpack(packed_members(entry), to, "the bundle")
    assert list(tmp_path.rglob("*")) == [to]


@pytest.mark.parametrize("data", [b"", b"not an archive", zstandard.compress(b"x" * 2000)])
def test_an_invalid_bundle_is_an_error_that_names_it(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DamagedArtifactError, match="s3://bucket/code is not a valid source bundle"):
        unpack(data, tmp_path, "s3://bucket/code")


def test_a_truncated_bundle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/data").write_bytes(os.urandom(MIB))
    data = make_bundle(project_files(tmp_path / "in").paths).data
    (tmp_path / "out").mkdir()
    with pytest.raises(DamagedArtifactError, match="is not a valid source bundle"):
        unpack(data[: len(data) // 2], tmp_path / "out", "the bundle")


def test_a_name_that_is_too_long_for_this_machine_is_an_error_that_names_it(tmp_path: Path) -> None:
    data = packed_members(tarfile.TarInfo("folder/" + "n" * 300))
    with pytest.raises(DamagedArtifactError, match="too long"):
        unpack(data, tmp_path, "s3://bucket/code")
