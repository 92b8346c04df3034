from __future__ import annotations

import base64
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.artifacts.codecs.pickles import PickleCodec
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.values import load_value
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.scripts import MissingScriptError
from tests.artifacts.roundtrip import encoded, identical, round_trip

pytestmark = pytest.mark.version_sensitive

CODEC = PickleCodec()

values = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_every_value_is_restored_exactly(value: Any) -> None:
    assert identical(round_trip(CODEC, value), value)


@given(st.lists(st.integers(0, 20_000), max_size=5))
def test_buffers_of_all_sizes_are_restored(sizes: list[int]) -> None:
    arrays = [numpy.arange(size, dtype=numpy.uint8) for size in sizes]
    for loaded, array in zip(round_trip(CODEC, tuple(arrays)), arrays, strict=True):
        numpy.testing.assert_array_equal(loaded, array)


def test_storing_does_not_copy_large_buffers() -> None:
    array, text = numpy.ones(10_000), b"x" * 100_000
    pieces = list(CODEC.encode({"array": array, "text": text}).chunks())
    assert any(isinstance(piece, memoryview) and piece.obj is text for piece in pieces)
    assert any(
        isinstance(piece, memoryview)
        and numpy.shares_memory(numpy.frombuffer(piece, numpy.uint8), array)
        for piece in pieces
    )


def test_loaded_buffers_are_aligned_writable_views_of_the_loaded_memory() -> None:
    arrays = (numpy.ones(1_001, numpy.float32), numpy.arange(5_000.0))
    data = encoded(CODEC, arrays)
    memory = numpy.frombuffer(data, numpy.uint8)
    small, large = CODEC.decode(data)
    assert numpy.shares_memory(large, memory)
    assert (large.ctypes.data - memory.ctypes.data) % 64 == 0
    large[0] = 7
    assert not numpy.shares_memory(small, memory)


def test_a_read_only_array_stays_read_only() -> None:
    array = numpy.ones(10_000)
    array.flags.writeable = False
    assert not round_trip(CODEC, [array])[0].flags.writeable


def test_shared_objects_inside_a_value_stay_shared() -> None:
    shared = [1]
    first, second = round_trip(CODEC, [shared, shared])
    assert first is second


def test_an_open_file_is_refused_instead_of_becoming_another_type(tmp_path: Path) -> None:
    path = tmp_path / "open.txt"
    path.write_text("content")
    with path.open() as file, pytest.raises(TypeError, match=r"open\.txt"):
        CODEC.encode({"log": file})


def test_a_lock_cannot_be_stored() -> None:
    with pytest.raises(TypeError, match="lock"):
        CODEC.encode([threading.Lock()])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:8],
        lambda data: b"",
        lambda data: struct.pack("<QQ", 2**63, 1) + data[16:],
        lambda data: struct.pack("<QQ", 1, 2**60) + data[16:],
    ],
)
def test_invalid_bytes_are_an_error(damage: Any) -> None:
    data = b"".join(CODEC.encode([numpy.ones(1_000)]).chunks())
    with pytest.raises(
        (ValueError, struct.error, pickle.UnpicklingError, OverflowError, MemoryError)
    ):
        CODEC.decode(memoryview(damage(data)))


SCRIPT = textwrap.dedent(
    """
    import sys
    from dataclasses import dataclass
    from pathlib import Path

    from flowyml_aws.artifacts.values import load_value, save_value
    from flowyml_aws.local.directory import DirectoryArtifactStore

    @dataclass
    class Model:
        weight: float

        def predict(self, x):
            return self.weight * x

    store, folder = DirectoryArtifactStore(Path(sys.argv[1])), Path(sys.argv[1])
    ref = save_value(store, "model", Model(3.0))
    assert type(load_value(store, ref, "model", folder)) is Model
    print(ref.to_json().decode())
    """
)


@pytest.mark.contract
def test_a_value_of_a_class_in_main_needs_its_script(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "store")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
        timeout=30,
    )
    ref = ArtifactRef.model_validate_json(done.stdout)
    store = DirectoryArtifactStore(tmp_path / "store")
    with pytest.raises(MissingScriptError, match=r"The script script\.py is required"):
        load_value(store, ref, "model", tmp_path)


def test_decoding_does_not_change_a_class_that_exists_already() -> None:
    class Counter:
        made = 0

    content = CODEC.encode(Counter())
    Counter.made = 5
    method = Counter.__init__
    loaded = CODEC.decode(memoryview(b"".join(bytes(part) for part in content.chunks())))
    assert type(loaded) is Counter
    assert (Counter.made, Counter.__init__) == (5, method)


@pytest.mark.contract
def test_a_class_that_does_not_exist_yet_is_decoded_completely() -> None:
    code = """
import base64, sys
from flowyml_aws.artifacts.codecs.pickles import PickleCodec
value = PickleCodec().decode(memoryview(base64.b64decode(sys.stdin.read())))
print(value.double(), type(value).scale)
"""

    class Scaled:
        scale = 3

        def double(self) -> int:
            return 2 * self.scale

    data = b"".join(bytes(part) for part in CODEC.encode(Scaled()).chunks())
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=base64.b64encode(data).decode(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "6 3\n", done.stderr
