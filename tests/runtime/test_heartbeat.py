from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.heartbeat import HEARTBEAT, start_heartbeat
from tests.support.rigs import eventually

RUN = "digits-20261122-150531-3f9a1c"
ALIVE = RunLayout(RUN).attempt("train", 1, HEARTBEAT)
ENDED = RunLayout(RUN).attempt("train", 1, "exit.json")


@pytest.fixture
def received() -> Iterator[list[int]]:
    """Signals that ask this process to end."""
    numbers: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, previous)


def test_an_attempt_writes_its_heartbeat_at_once(tmp_path: Path, received: list[int]) -> None:
    store = DirectoryArtifactStore(tmp_path)
    stopped = start_heartbeat(store, RUN, "train", 1)
    eventually(lambda: store.modified_at([ALIVE]), "the heartbeat")
    stopped.set()
    assert received == []


def test_an_attempt_that_a_client_gave_up_ends(tmp_path: Path, received: list[int]) -> None:
    store = DirectoryArtifactStore(tmp_path)
    store.put(ENDED, b"{}")
    start_heartbeat(store, RUN, "train", 1)
    eventually(lambda: received, "the signal")
    assert received == [signal.SIGTERM]


def test_an_attempt_continues_without_a_store_for_its_heartbeat(
    tmp_path: Path, received: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").touch()
    store = DirectoryArtifactStore(tmp_path)
    with pytest.raises(SettingsError):
        store.put(ALIVE, b"{}")
    stopped = start_heartbeat(store, RUN, "train", 1)
    eventually(lambda: "could not write the heartbeat" in capfd.readouterr().err, "the message")
    stopped.set()
    assert received == []
