"""Storing values with killed processes and with several writers at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flowyml_aws.artifacts.content import Buffer, Content
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import EncodedValue, encode_value, load_value, save_value
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support import storing
from tests.support.storing import BEFORE_THE_END, BETWEEN_PARTS, VALUE

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = pytest.mark.contract

REPOSITORY = Path(__file__).parents[2]


class Storing:
    """A process that starts to store `VALUE` and pauses at a given point."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", storing.__name__, *arguments],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until_stopped(self) -> Storing:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "stopped\n"
        return self

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def resume(self) -> ArtifactRef:
        """Let the process finish. Return the ref of the value."""
        printed, _ = self._process.communicate("\n", timeout=60)
        assert self._process.returncode == 0
        return ArtifactRef.model_validate_json(printed)


@pytest.fixture
def start(
    store: ArtifactStore, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Storing]]:
    """Function that starts a process which pauses at a given point."""
    endpoint = [request.getfixturevalue("moto_url")] if isinstance(store, S3ArtifactStore) else []
    started: list[Storing] = []

    def start(pause_at: str) -> Storing:
        started.append(Storing(store.uri, pause_at, *endpoint))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def ref_of_value(store: ArtifactStore) -> ArtifactRef:
    """Return the ref of `VALUE`, whether it is stored or not."""
    encoded = encode_value("weights", VALUE)
    return encoded.ref(f"{store.uri}/{artifact_key(encoded.sha256)}")


def unfinished_uploads(store: ArtifactStore, request: pytest.FixtureRequest) -> int:
    """Return the number of unfinished unfinished_uploads."""
    if isinstance(store, DirectoryArtifactStore):
        return len(list((store.path("a").parent / ".incoming").iterdir()))
    s3: S3Client = request.getfixturevalue("s3")
    response = s3.list_multipart_uploads(Bucket=request.getfixturevalue("bucket"))
    return len(response.get("Uploads", []))


@pytest.mark.parametrize("pause_at", [BETWEEN_PARTS, BEFORE_THE_END])
def test_a_process_killed_while_it_stores_leaves_no_readable_value(
    store: ArtifactStore,
    start: Callable[[str], Storing],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    pause_at: str,
) -> None:
    start(pause_at).wait_until_stopped().kill()
    assert unfinished_uploads(store, request) == 1
    with pytest.raises(ArtifactNotFoundError, match="'weights'"):
        load_value(store, ref_of_value(store), "weights", tmp_path)
    with pytest.raises(ArtifactNotFoundError):
        store.get(artifact_key(ref_of_value(store).sha256))

    ref = save_value(store, "weights", VALUE)
    assert ref == ref_of_value(store)
    assert load_value(store, ref, "weights", tmp_path) == VALUE


class Failing(Content):
    """Content whose second part fails when it is stored."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(VALUE)
        self._error: BaseException | None = None
        _ = self.part_digests  # this reads the parts, too
        self._error = error

    def part(self, index: int) -> Iterator[Buffer]:
        if index == 1 and self._error:
            raise self._error
        return super().part(index)


@pytest.mark.parametrize("error", [OSError("unplugged"), KeyboardInterrupt()], ids=repr)
def test_a_failed_upload_leaves_nothing_in_the_store(
    store: ArtifactStore, request: pytest.FixtureRequest, tmp_path: Path, error: BaseException
) -> None:
    failing = EncodedValue("weights", "bytes/1", Failing(error), None)
    with pytest.raises(type(error)):
        failing.save(store)
    assert unfinished_uploads(store, request) == 0
    with pytest.raises(ArtifactNotFoundError, match="'weights'"):
        load_value(store, ref_of_value(store), "weights", tmp_path)

    ref = save_value(store, "weights", VALUE)
    assert load_value(store, ref, "weights", tmp_path) == VALUE


@pytest.mark.parametrize(
    "pause_at", [BETWEEN_PARTS, pytest.param(BEFORE_THE_END, marks=pytest.mark.thorough)]
)
def test_two_processes_can_store_the_same_value_at_once(
    store: ArtifactStore,
    start: Callable[[str], Storing],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    pause_at: str,
) -> None:
    both = [start(pause_at), start(pause_at)]
    for each in both:
        each.wait_until_stopped()
    assert unfinished_uploads(store, request) == 2
    for each in both:
        assert each.resume() == ref_of_value(store)
        assert load_value(store, ref_of_value(store), "weights", tmp_path) == VALUE
    assert unfinished_uploads(store, request) == 0


def test_a_value_is_stored_although_another_writer_of_it_is_killed(
    store: ArtifactStore, start: Callable[[str], Storing], tmp_path: Path
) -> None:
    other = start(BETWEEN_PARTS).wait_until_stopped()
    ref = save_value(store, "weights", VALUE)
    other.kill()
    assert load_value(store, ref, "weights", tmp_path) == VALUE


@pytest.mark.parametrize(
    "value", [{"accuracy": 0.5}, VALUE, ("pickled", 1)], ids=["json", "several parts", "pickle"]
)
def test_threads_can_store_the_same_value_at_once(
    store: ArtifactStore, tmp_path: Path, value: Any
) -> None:
    barrier = threading.Barrier(4)

    def save(_: int) -> ArtifactRef:
        barrier.wait()
        return save_value(store, "weights", value)

    with ThreadPoolExecutor(4) as pool:
        refs = set(pool.map(save, range(4)))
    (ref,) = refs
    assert load_value(store, ref, "weights", tmp_path) == value
