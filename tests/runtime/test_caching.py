"""Reuse of cached outputs in a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from flowyml_aws import step
from flowyml_aws.artifacts.layout import artifact_key, cache_entry_key
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.caching.cache_key import cache_key
from flowyml_aws.caching.entries import CacheEntry, read_entry, write_entry
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.result import StepState
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.spec import StepCache
from tests.runtime.harness import WrittenRun
from tests.support.denied_stores import StoreWithoutReadableCache

RAN: list[str] = []


@step(outputs=["number"], execution_group="g", cache="code_hash")
def count():
    RAN.append("count")
    return 3


@step(inputs=["number"], outputs=["square"], execution_group="g", cache="input_hash")
def multiply(number):
    RAN.append("multiply")
    return number * number


class Job:
    """A job of two steps whose spec contains the parts of their cache keys."""

    def __init__(self, folder: Path, ask: bool = True) -> None:
        self.run = WrittenRun(folder, count, multiply)
        self.store = self.run.store
        caches = {
            "count": StepCache(identity="count", assets={}, machine="local", ask=ask),
            "multiply": StepCache(
                identity="multiply", assets={"number": None}, machine="local", ask=ask
            ),
        }
        spec = self.run.spec()
        steps = tuple(s.model_copy(update={"cache": caches[s.name]}) for s in spec.steps)
        self.spec = spec.model_copy(update={"steps": steps})

    def key(self, name: str, **assets: str) -> str:
        return cache_key(name, assets)

    def execute(self) -> Mapping[str, StepState]:
        attempt = Attempt.begin(self.spec, self.store, 1)
        runner = JobRunner(
            attempt=attempt,
            steps=self.run.steps,
            context={},
            roots=(),
            scratch=self.run.folder / "assets",
            interruption=Interruption(),
        )
        assert runner.run()
        self.assets = attempt.assets
        return {report.name: report.state for report in attempt.progress.reports}

    def cache_outputs(self, name: str, key: str, **values: int) -> None:
        assets = {asset: save_value(self.store, asset, value) for asset, value in values.items()}
        entry = CacheEntry(
            key=key, pipeline="p", step=name, run_id="earlier", created_at=0, assets=assets
        )
        write_entry(self.store, entry)


@pytest.fixture(autouse=True)
def reset() -> None:
    RAN.clear()


def test_the_outputs_of_a_step_are_cached_under_its_key(tmp_path: Path) -> None:
    job = Job(tmp_path)
    assert set(job.execute().values()) == {StepState.SUCCEEDED}
    entry = read_entry(job.store, job.key("count"))
    assert entry is not None
    assert entry.assets == {"number": job.assets["number"]}
    content = job.assets["number"].identity
    later_entry = read_entry(job.store, job.key("multiply", number=content))
    assert later_entry is not None
    assert later_entry.assets == {"square": job.assets["square"]}


def test_a_cached_step_does_not_run_and_later_steps_get_its_outputs(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.cache_outputs("count", job.key("count"), number=5)
    states = job.execute()
    assert states == {"count": StepState.CACHED, "multiply": StepState.SUCCEEDED}
    assert RAN == ["multiply"]
    assert job.store.get(artifact_key(job.assets["square"].sha256)) == b"25"


def test_a_step_is_cached_by_content_if_its_input_is_unchanged(tmp_path: Path) -> None:
    job = Job(tmp_path)
    content = save_value(job.store, "number", 3).identity
    job.cache_outputs("multiply", job.key("multiply", number=content), square=9)
    assert job.execute() == {"count": StepState.SUCCEEDED, "multiply": StepState.CACHED}
    assert RAN == ["count"]


def test_the_job_does_not_repeat_the_clients_lookup(tmp_path: Path) -> None:
    job = Job(tmp_path, ask=False)
    job.cache_outputs("count", job.key("count"), number=5)
    assert set(job.execute().values()) == {StepState.SUCCEEDED}


def test_an_entry_whose_value_is_missing_is_a_cache_miss(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.cache_outputs("count", job.key("count"), number=5)
    entry = read_entry(job.store, job.key("count"))
    assert entry is not None
    job.store.path(artifact_key(entry.assets["number"].sha256)).unlink()
    assert job.execute()["count"] is StepState.SUCCEEDED


def test_a_denied_lookup_is_a_cache_miss_with_a_line_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Job(tmp_path)
    job.cache_outputs("count", job.key("count"), number=5)
    job.store = StoreWithoutReadableCache(tmp_path / "store")
    assert set(job.execute().values()) == {StepState.SUCCEEDED}
    log = capsys.readouterr().err
    assert "step 'count' is executed: its cache entry can't be read" in log
    assert "allow s3:GetObject on it" in log


@pytest.mark.parametrize("damage", [b"{", b"{}"])
def test_a_damaged_entry_is_a_cache_miss_and_is_replaced(tmp_path: Path, damage: bytes) -> None:
    job = Job(tmp_path)
    job.store.put(cache_entry_key(job.key("count")), damage)
    assert job.execute()["count"] is StepState.SUCCEEDED
    assert read_entry(job.store, job.key("count")) is not None


def test_an_entry_under_the_wrong_key_is_a_cache_miss(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.cache_outputs("count", "0" * 64, number=5)
    other = job.store.get(cache_entry_key("0" * 64))
    job.store.put(cache_entry_key(job.key("count")), other)
    assert read_entry(job.store, job.key("count")) is None
