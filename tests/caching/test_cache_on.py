"""Additions of the user to cache keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Env, step
from flowyml_aws.caching.cache_on import AdditionReader
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.core.errors import InvalidStepError


def read(
    *additions: Any, environment: Mapping[str, str] | None = None, common: tuple[Any, ...] = ()
) -> dict[str, str]:
    reader = AdditionReader(environment or {}, common)
    train = step(name="train", cache_on=list(additions))(print)
    return reader.read(train, Fingerprinter())


def problems(cache_on: Any, **options: Any) -> list[str]:
    return [p.what for p in step(cache_on=cache_on, name="train", **options)(print).problems()]


@pytest.mark.parametrize(("first", "second"), [("v1", "v2"), (1, 1.0), ({"a": 1}, {"a": 2})])
def test_a_value_counts(first: Any, second: Any) -> None:
    assert read(first) == read(first) != read(second)


def test_a_list_has_several_additions_and_one_value_is_an_addition() -> None:
    assert step(cache_on=["a", 1])(print).cache_on == ("a", 1)
    assert step(cache_on="a")(print).cache_on == ("a",)
    assert step()(print).cache_on == ()


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("1")
    before = read(file)
    assert list(before) == [f"file {file}"]
    file.touch()
    assert read(file) == before
    file.write_text("2")
    assert read(file) != before


def test_a_folder_counts_by_its_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/a").write_text("1")
    (folder / "again").symlink_to(folder)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b").write_text("1")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    seen = [read(folder)]
    assert list(seen[0]) == [f"folder {folder}"]
    (folder / "inner/a").write_text("2")
    seen.append(read(folder))
    (folder / "inner/a").rename(folder / "inner/c")
    seen.append(read(folder))
    (tmp_path / "elsewhere/b").write_text("2")
    seen.append(read(folder))
    (folder / "empty").mkdir()
    seen.append(read(folder))
    assert len({str(digests) for digests in seen}) == len(seen)


def test_an_environment_variable_of_the_client_counts() -> None:
    environments = [{}, {"MODEL": ""}, {"MODEL": "1"}, {"MODEL": "2"}]
    digests = [read(Env("MODEL"), environment=e) for e in environments]
    assert len({str(digest) for digest in digests}) == 4
    assert list(digests[0]) == ["environment variable MODEL of this machine"]
    assert read(Env("MODEL"), environment={"OTHER": "1"}) == digests[0]


def test_additions_of_the_pipeline_count_in_each_step() -> None:
    assert read("a", common=("b",)) != read("a", common=("c",)) != read("a")


def test_a_missing_file_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidStepError, match=r"Step 'train': .*nowhere in cache_on can't be read"
    ):
        read(tmp_path / "nowhere")


def test_a_value_that_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(InvalidStepError, match=r"can't be compared: cache_on \(generator\)"):
        read(x for x in "ab")


def test_mistakes_in_the_declaration_are_reported() -> None:
    assert problems(Env("")) == ["Step 'train': Invalid argument cache_on=Env(name='')"]
    assert problems(lambda: 1)[0].startswith("Step 'train': cache_on contains a function")
    assert problems("v1", cache=False) == ["Step 'train': Invalid argument cache_on=('v1',)"]
    assert problems(["v1", Path("a"), Env("A")]) == []
