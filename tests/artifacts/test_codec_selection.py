from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from flowyml_aws.artifacts.codecs.selection import (
    choose_codec,
    codec_id,
    find_codec,
    third_party_codecs,
)
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.core.errors import MissingExtraError, SettingsError
from tests.artifacts.roundtrip import codec_name, round_trip

ACME = """
from flowyml_aws.artifacts.content import Content

class Picture:
    def __init__(self, pixels):
        self.pixels = pixels

class PictureCodec:
    name, version = "acme-picture", 3
    def accepts(self, value):
        return isinstance(value, Picture)
    def encode(self, value):
        return Content(value.pixels)
    def decode(self, data):
        return Picture(bytes(data))

class Greedy(PictureCodec):
    name, version = "pickle", 1

broken = 1 / 0 if __name__ == "acme_broken" else None
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Function that installs a package `acme` with these entry points."""

    def install(entries: str) -> None:
        (tmp_path / "acme_codecs.py").write_text(textwrap.dedent(ACME))
        (tmp_path / "acme_broken.py").write_text(textwrap.dedent(ACME))
        info = tmp_path / "acme-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[flowyml_aws.codecs]\n{entries}\n")
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        third_party_codecs.cache_clear()

    yield install
    for name in ("acme_codecs", "acme_broken"):
        sys.modules.pop(name, None)
    third_party_codecs.cache_clear()


def test_an_installed_codec_encodes_the_values_that_it_accepts(
    install: Callable[[str], None],
) -> None:
    install("picture = acme_codecs:PictureCodec")
    picture = importlib.import_module("acme_codecs").Picture(b"pixels")
    codec = choose_codec(picture)
    assert codec_id(codec) == "acme-picture/3"
    assert round_trip(codec, picture).pixels == b"pixels"  # type: ignore[arg-type]
    assert find_codec("acme-picture/3") is codec
    assert codec_name([1]) == "json"


def test_a_codec_that_cannot_be_loaded_is_an_error_with_its_package(
    install: Callable[[str], None],
) -> None:
    install("picture = acme_broken:PictureCodec")
    with pytest.raises(SettingsError, match="acme") as caught:
        choose_codec([1])
    assert "ZeroDivisionError" in caught.value.why


def test_an_installed_codec_cannot_replace_another(
    install: Callable[[str], None],
) -> None:
    install("picture = acme_codecs:Greedy")
    with pytest.raises(SettingsError, match="pickle/1"):
        choose_codec([1])


def test_the_error_for_an_unknown_codec_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match="install the package with the codec 'parquet'"):
        find_codec("parquet/1")


def test_the_error_for_an_unknown_codec_version_lists_the_installed_ones() -> None:
    with pytest.raises(MissingExtraError, match=r"installed here: json/1"):
        find_codec("json/2")


@pytest.mark.parametrize(
    "value", [None, 1.5, "text", b"bytes", [1], (1,), numpy.ones(3)], ids=lambda v: type(v).__name__
)
def test_the_id_in_a_ref_identifies_its_codec(value: Any) -> None:
    assert find_codec(codec_id(choose_codec(value))) is choose_codec(value)


class Countdown:
    """An iterator of a user's class, which is a normal value."""

    def __iter__(self) -> Countdown:
        return self

    def __next__(self) -> int:
        raise StopIteration


def test_an_iterator_of_a_user_class_is_pickled() -> None:
    assert codec_name(Countdown()) == "pickle"


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        (lambda: (n for n in range(3)), "list"),
        (lambda: iter([1, 2]), "list"),
        (lambda: map(str, [1]), "list"),
        (lambda: enumerate([1]), "list"),
        (lambda: Path("missing"), "write the file before"),
        (lambda: Path(os.devnull), "write the file before"),
    ],
)
def test_the_error_for_a_value_that_is_readable_once_says_what_to_return(
    make: Callable[[], Any], fix: str
) -> None:
    with pytest.raises(UnstorableValueError) as caught:
        choose_codec(make())
    assert fix in caught.value.fix


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_the_error_for_an_open_file_says_what_to_return(tmp_path: Path, mode: str) -> None:
    with (
        (tmp_path / "file").open(mode) as file,
        pytest.raises(UnstorableValueError, match="return its Path"),
    ):
        choose_codec(file)


@pytest.mark.contract
@pytest.mark.parametrize("value", [(1, 2), [1], {"a": 1}, 1.5, {1}, object])
def test_choosing_a_codec_imports_no_library(value: Any) -> None:
    program = (
        "import sys\n"
        "from flowyml_aws.artifacts.codecs.selection import choose_codec\n"
        f"choose_codec({value.__name__ if isinstance(value, type) else value!r})\n"
        "heavy = {'numpy', 'pandas', 'polars', 'pyarrow', 'sklearn', 'torch', 'xgboost'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_the_error_for_an_asynchronous_generator_says_what_to_do() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(UnstorableValueError, match="await"):
        choose_codec(numbers())


def test_the_error_for_a_coroutine_says_what_to_do() -> None:
    async def step() -> None: ...

    coroutine = step()
    with pytest.raises(UnstorableValueError, match="await"):
        choose_codec(coroutine)
    coroutine.close()
