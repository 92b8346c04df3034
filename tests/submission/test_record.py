from __future__ import annotations

import json
import random
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.errors import DamagedArtifactError, RunNotFoundError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.submission.record import (
    JobArray,
    RunOutcome,
    RunState,
    make_run_id,
    newest_first,
    read_outcome,
    read_plan,
    read_record,
    run_ids,
)
from tests.support.plans import a_job, a_plan, a_record

NOW = datetime(2026, 11, 22, 15, 5, 31, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


def a_hex(count: int) -> str:
    return "3f" * count


def zeros(count: int) -> str:
    return "00" * count


def test_an_id_contains_the_pipeline_and_the_time() -> None:
    assert make_run_id("Digits", NOW, a_hex) == "digits-20261122-150531-0003f3"


def test_an_ids_time_is_utc() -> None:
    local_time = NOW.astimezone(timezone(timedelta(hours=9)))
    assert make_run_id("digits", local_time, a_hex) == make_run_id("digits", NOW, a_hex)


def test_ids_of_one_second_sort_by_time() -> None:
    later = NOW + timedelta(milliseconds=10)
    first, second = make_run_id("digits", NOW, a_hex), make_run_id("digits", later, zeros)
    assert newest_first([first, second]) == [second, first]


@given(st.text())
def test_an_id_is_valid_in_every_name_and_path(pipeline: str) -> None:
    run_id = make_run_id(pipeline, NOW, a_hex)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", run_id)
    assert len(run_id) <= 43
    assert "--" not in run_id


def test_runs_of_all_pipelines_are_listed_newest_first(
    store: DirectoryArtifactStore,
) -> None:
    ids = [
        make_run_id(name, NOW + timedelta(minutes=minute), a_hex)
        for minute, name in enumerate(["zebra", "a-b-c", "m", "zebra"])
    ]
    shuffled = random.Random(0).sample(ids, len(ids))
    for run_id in shuffled:
        store.put(f"runs/{run_id}/run.json", b"{}")
    assert run_ids(store) == ids[::-1]


def test_a_record_and_a_plan_are_read_as_they_were_written(
    store: DirectoryArtifactStore,
) -> None:
    plan = a_plan(a_job("load"), a_job("train", after=["load"]))
    record = a_record(plan)
    store.put(f"runs/{record.run_id}/run.json", record.to_json())
    store.put(f"runs/{record.run_id}/plan.json", StoredPlan.of(plan).to_json())
    assert read_record(store, record.run_id) == record
    assert read_plan(store, record.run_id) == plan


def test_a_run_without_an_end_has_no_outcome(store: DirectoryArtifactStore) -> None:
    assert read_outcome(store, "some-run") is None
    outcome = RunOutcome(state=RunState.FAILED, ended_at=1.5)
    store.put("runs/some-run/outcome.json", outcome.to_json())
    assert read_outcome(store, "some-run") == outcome


@pytest.mark.parametrize("run_id", ["unknown-20261122-150531-3f9a1c", "", "..", "a//b"])
def test_an_unknown_run_is_an_error_that_names_the_store(
    store: DirectoryArtifactStore, run_id: str
) -> None:
    with pytest.raises(RunNotFoundError) as caught:
        read_record(store, run_id)
    assert repr(run_id) in caught.value.what and store.uri in caught.value.what


def test_a_record_of_another_version_is_an_error_that_says_so(
    store: DirectoryArtifactStore,
) -> None:
    record = a_record(a_plan(a_job("load"))).to_json().replace(b'"version": 2', b'"version": 1')
    store.put("runs/x/run.json", record)
    with pytest.raises(DamagedArtifactError, match="version"):
        read_record(store, "x")


def test_the_record_of_a_run_without_arrays_is_that_of_earlier_versions(
    store: DirectoryArtifactStore,
) -> None:
    record = a_record(a_plan(a_job("train")))
    assert "arrays" not in json.loads(record.to_json())
    store.put(RunLayout(record.run_id).run, record.to_json())
    assert read_record(store, record.run_id) == record


def test_a_record_keeps_its_arrays(store: DirectoryArtifactStore) -> None:
    arrays = (JobArray(("train-0", "train-1"), "0" * 64),)
    record = a_record(a_plan(a_job("train-0"), a_job("train-1")))
    record = record.model_copy(update={"arrays": arrays})
    store.put(RunLayout(record.run_id).run, record.to_json())
    assert read_record(store, record.run_id).arrays == arrays
