"""A store that can't be used is an error with a reason and a fix, never a traceback."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowyml_aws.artifacts.content import Content
from flowyml_aws.core import clock
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.cli.conftest import Cli, cli, file, rig
from tests.cli.mistakes import MISTAKE, assert_error
from tests.support.rigs import BackendRig

__all__ = ["cli", "file", "rig"]

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
UNUSABLE = {
    "a file": ("file", "Not a directory"),
    "below a file": ("file/store", "Not a directory"),
    "of the kernel": ("/proc/store", "No such file or directory"),
    "a null character": ("a\0b", "null"),
    "a long name": ("a" * 300, "File name too long"),
    "a long path": ("a/" * 3000, "File name too long"),
}


def use_store(kind: str) -> str:
    """Use an unusable store in the settings, and return the reason of the error."""
    folder, reason = UNUSABLE[kind]
    Path("file").touch()
    text = folder.replace("\0", "\\u0000")
    Path("flowyml-aws.toml").write_text(f'local_store = "{text}"\n')
    return reason


@pytest.fixture
def small_files() -> Iterator[None]:
    """A limit of the operating system, which fails a write as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("command", ["runs", "plan"])
def test_a_folder_that_can_not_be_used_is_a_mistake(
    kind: str, command: str, rig: BackendRig, file: str, cli: Cli
) -> None:
    reason = use_store(kind)
    answer = cli(command, *([] if command == "runs" else [file]))
    if answer.code:
        assert_error(answer, MISTAKE, "the store", reason)
        assert len(answer.err) < 2000
    assert "Traceback" not in answer.err


@pytest.mark.contract
@pytest.mark.parametrize("kind", ["below a file", "a null character", "a long path"])
def test_a_run_in_a_folder_that_can_not_be_used_is_refused_before_it_starts(
    kind: str, rig: BackendRig, file: str, cli: Cli
) -> None:
    reason = use_store(kind)
    answer = cli("run", file)
    assert_error(answer, MISTAKE, "the store", reason)


def test_a_folder_without_permission_is_refused_although_it_could_be_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, to whom every folder is writable.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SettingsError, match="Permission denied"):
        DirectoryArtifactStore(tmp_path / "store").check()
    assert not (tmp_path / "store").exists()


def test_a_failed_write_is_an_error_with_the_reason(tmp_path: Path, small_files: None) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    store.put("small", b"x")
    data = b"x" * 2000
    for write in (
        lambda: store.put("large", data),
        lambda: store.create("large", data),
        lambda: store.upload("large", Content(data)),
    ):
        with pytest.raises(SettingsError, match=r"Can't write to the store .*\n.*File too large"):
            write()
    assert [entry.key for entry in store.walk("")] == [
        "small",
    ]
    assert not list((tmp_path / "store" / ".incoming").iterdir())


def full_disk(times: int) -> Callable[..., None]:
    """Return `os.link` on a disk that is full for a number of calls."""
    link, left = os.link, [FULL] * times

    def link_or_fail(*arguments: str) -> None:
        if left:
            raise left.pop()
        link(*arguments)

    return link_or_fail


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_speed", 1e6)


def test_a_result_waits_for_space_on_the_disk(
    fast_clock: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    store = DirectoryArtifactStore(tmp_path / "store", wait_s=1e9, say=said.append)
    monkeypatch.setattr(os, "link", full_disk(times=3))
    assert store.create("result.json", b"{}")
    assert store.get("result.json") == b"{}"
    (sentence,) = said
    assert sentence.startswith("waiting for space for up to 1e+09 s\nCan't write to the store")


@pytest.mark.parametrize("wait_s", [0.0, 1.0])
def test_a_disk_that_stays_full_is_an_error(
    wait_s: float, fast_clock: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = DirectoryArtifactStore(tmp_path / "store", wait_s=wait_s)
    monkeypatch.setattr(os, "link", full_disk(times=1000))
    with pytest.raises(SettingsError) as caught:
        store.create("result.json", b"{}")
    assert "No space left on device" in caught.value.why
