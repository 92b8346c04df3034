"""What of a store can go, and what must stay."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.artifacts.cache import CacheEntry, write_entry
from flowyml_aws.artifacts.layout import RunLayout, artifact_key, cache_entry_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore, ObjectEntry
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.planning.plan import ExecutionPlan, ReusedStep
from flowyml_aws.runtime.result import AttemptEvents, JobResult
from flowyml_aws.runtime.spec import AssetSource, CodeSource, JobSpec, StepSpec, StoredObject
from flowyml_aws.submission.garbage import SETTLE_S, Garbage, collect, find_garbage
from flowyml_aws.submission.record import RunOutcome, RunRecord, RunState
from tests.support.plans import a_plan
from tests.support.stores import date_back

DAY_S = 86400.0
NOW = 1000 * DAY_S
OLD_S = 100 * DAY_S


class Kept:
    """A store with runs, entries and values of chosen ages."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.waited: list[float] = []

    def value(self, value: int, age_s: float = OLD_S) -> ArtifactRef:
        ref = save_value(self.store, "a", value)
        date_back(self.store, artifact_key(ref.sha256), age_s)
        return ref

    def put(self, key: str, data: bytes = b"{}", age_s: float = OLD_S) -> None:
        self.store.put(key, data)
        date_back(self.store, key, age_s)

    def run(self, run_id: str, age_s: float = OLD_S, ended: bool = True) -> RunLayout:
        layout = RunLayout(run_id)
        record = RunRecord(
            run_id=run_id, pipeline="p", backend="local", created_at=0, client="here", specs={}
        )
        self.put(layout.plan, a_plan().to_json(), age_s)
        self.put(layout.run, record.to_json(), age_s)
        if ended:
            outcome = RunOutcome(state=RunState.SUCCEEDED, ended_at=0)
            self.put(layout.outcome, outcome.to_json(), age_s)
        return layout

    def entry(self, key: str, *refs: ArtifactRef, age_s: float = OLD_S) -> None:
        assets = {str(number): ref for number, ref in enumerate(refs)}
        entry = CacheEntry(key=key, pipeline="p", step="s", run_id="r", created_at=0, assets=assets)
        write_entry(self.store, entry)
        date_back(self.store, cache_entry_key(key), age_s)

    def collect(self, days: float = 30, dry_run: bool = False) -> Garbage:
        return collect(self.store, days * DAY_S, time.time, self.waited.append, dry_run)

    def keys(self) -> set[str]:
        return {entry.key for entry in self.store.walk("")}


@pytest.fixture
def kept(store: ArtifactStore) -> Kept:
    return Kept(store)


def test_old_runs_that_have_ended_go_and_young_ones_stay(kept: Kept) -> None:
    old, young = kept.run("p-1-1-a"), kept.run("p-1-1-b", age_s=DAY_S)
    found = kept.collect()
    assert found.run_ids == ["p-1-1-a"]
    there = kept.keys()
    assert there == {young.run, young.plan, young.outcome}
    assert old.run not in there


def test_an_old_run_that_nobody_has_seen_end_stays_and_is_told(kept: Kept) -> None:
    kept.run("p-1-1-a", ended=False)
    assert kept.collect(0).unended == ("p-1-1-a",)
    there = kept.keys()
    assert RunLayout("p-1-1-a").run in there


def test_a_run_whose_jobs_still_write_is_no_old_one(kept: Kept) -> None:
    layout = kept.run("p-1-1-a")
    kept.put(layout.attempt("j", 1, "log.txt"), age_s=10)
    assert kept.collect(1).run_ids == []


def test_a_run_that_is_being_written_stays_and_one_whose_client_died_long_ago_goes(
    kept: Kept,
) -> None:
    being_written, died = RunLayout("p-1-1-a"), RunLayout("p-1-1-b")
    kept.put(being_written.plan, a_plan().to_json(), age_s=10)
    kept.put(died.plan, a_plan().to_json())
    assert kept.collect(0).run_ids == ["p-1-1-b"]
    assert kept.keys() == {being_written.plan}


def test_what_nothing_refers_to_goes_once_it_is_older_than_two_days(kept: Kept) -> None:
    kept.value(1)
    young = kept.value(2, age_s=1.5 * DAY_S)
    kept.put("payloads/aa")
    kept.put("code/aa.tar.zst")
    kept.collect(0)
    assert kept.keys() == {artifact_key(young.sha256)}


def test_old_entries_go_with_their_values_and_used_ones_stay_with_theirs(kept: Kept) -> None:
    old, used = kept.value(1), kept.value(2)
    kept.entry("old", old)
    kept.entry("used", used, age_s=DAY_S)
    kept.collect()
    assert kept.keys() == {cache_entry_key("used"), artifact_key(used.sha256)}


def test_whatever_documents_of_a_kept_run_refer_to_stays(kept: Kept, tmp_path: Path) -> None:
    layout = kept.run("p-1-1-a", age_s=10, ended=False)
    refs = [kept.value(number) for number in range(4)]
    reused, given, stored, told = refs
    plan = a_plan().model_copy(
        update={"reused": {"s": ReusedStep(produces=("a",), run_id="r", assets={"a": reused})}}
    )
    kept.put(layout.plan, plan.to_json(), age_s=10)
    kept.put(layout.spec("j"), a_spec(given).to_json(), age_s=10)
    kept.put("payloads/aa")
    kept.put("code/bb.tar.zst")
    result = JobResult(
        run_id="r",
        job="j",
        attempt=1,
        state="succeeded",
        started_at=0,
        ended_at=0,
        steps=(),
        assets={"b": stored},
        skipped=(),
    )
    kept.put(layout.result("j"), result.to_json(), age_s=10)
    events = AttemptEvents(attempt=1, steps=(), assets={"c": told})
    kept.put(layout.attempt("k", 1, "events.json"), events.to_json(), age_s=10)
    assert kept.collect(0).contents == ()
    loaded = [load_value(kept.store, ref, "a", tmp_path / "loaded") for ref in refs]
    assert loaded == [0, 1, 2, 3]


def a_spec(given: ArtifactRef) -> JobSpec:
    stored = StoredObject(key="payloads/aa", sha256="aa", size_bytes=0)
    bundle = StoredObject(key="code/bb.tar.zst", sha256="bb", size_bytes=0)
    step_spec = StepSpec(
        name="s",
        inputs=(),
        reads=(),
        outputs=("a",),
        stored=(),
        retry=0,
        retry_delay_s=0,
        timeout_s=None,
    )
    return JobSpec(
        store="s",
        run_id="r",
        pipeline="p",
        job="j",
        python="3.11",
        code=CodeSource(bundle=bundle, root="/", paths=(), folder="."),
        payload=stored,
        steps=(step_spec,),
        assets={"x": AssetSource(ref=given)},
    )


def test_a_dry_run_tells_the_same_and_removes_nothing(kept: Kept) -> None:
    kept.run("p-1-1-a")
    kept.entry("old", kept.value(1))
    before = kept.keys()
    dry = kept.collect(dry_run=True)
    assert kept.keys() == before and kept.waited == []
    real = kept.collect()
    assert (dry.runs, dry.entries, dry.contents) == (real.runs, real.entries, real.contents)
    assert kept.keys() == set()
    assert kept.waited == [SETTLE_S]


def test_a_run_that_starts_while_garbage_is_collected_keeps_what_it_took(kept: Kept) -> None:
    ref = kept.value(1)
    kept.entry("old", ref)
    layout = RunLayout("p-1-1-a")
    reused = {"s": ReusedStep(produces=("a",), run_id="r", assets={"a": ref})}
    plan: ExecutionPlan = a_plan().model_copy(update={"reused": reused})
    # It had looked the entry up before it was removed.
    collect(
        kept.store,
        30 * DAY_S,
        time.time,
        lambda _: kept.store.put(layout.plan, plan.to_json()),
        dry_run=False,
    )
    assert kept.keys() == {layout.plan, artifact_key(ref.sha256)}


def test_a_value_that_is_stored_again_while_garbage_is_collected_stays(kept: Kept) -> None:
    ref = kept.value(1)
    kept.entry("old", ref)

    def stored_again(_: float) -> None:
        save_value(kept.store, "a", 1)

    collect(kept.store, 30 * DAY_S, time.time, stored_again, dry_run=False)
    assert kept.keys() == {artifact_key(ref.sha256)}


@pytest.mark.parametrize(
    "damage",
    [
        lambda layout: layout.plan,
        lambda layout: layout.spec("j"),
        lambda layout: layout.result("j"),
        lambda layout: layout.attempt("j", 1, "events.json"),
        lambda layout: cache_entry_key("young"),
    ],
)
def test_while_a_kept_document_cannot_be_read_no_value_goes(
    kept: Kept, damage: Callable[[RunLayout], str]
) -> None:
    layout = kept.run("p-1-1-a", age_s=10)
    kept.value(1)
    key = damage(layout)
    kept.put(key, b'{"version": 99}', age_s=10)
    before = kept.keys()
    with pytest.raises(DamagedArtifactError, match="Garbage can't be collected") as caught:
        kept.collect(1)
    assert key in caught.value.what
    assert kept.keys() == before


def test_the_times_that_plans_rest_on_stay_and_older_ones_go(kept: Kept) -> None:
    for number in range(12):
        kept.put(f"history/aa/p-{number:02}.json", age_s=OLD_S - number)
    kept.collect()
    assert sorted(kept.keys()) == [f"history/aa/p-{number:02}.json" for number in range(2, 12)]


ENTRIES = st.lists(
    st.builds(
        ObjectEntry,
        st.sampled_from(
            [
                *(f"runs/{run}/{name}.json" for run in "ab" for name in ("run", "outcome", "x")),
                *(f"cache/{key}.json" for key in "ab"),
                *(f"artifacts/aa/{key}" for key in "abc"),
                "payloads/a",
                "code/a.tar.zst",
                "history/aa/a.json",
                "something/else",
            ]
        ),
        st.integers(0, 9),
        st.floats(NOW - 10 * DAY_S, NOW),
    ),
    unique_by=lambda entry: entry.key,
)


@given(ENTRIES, st.sets(st.sampled_from(["artifacts/aa/a", "payloads/a"])), st.floats(0, 11))
def test_nothing_young_and_nothing_that_is_referred_to_is_garbage(
    objects: list[ObjectEntry], referred: set[str], days: float
) -> None:
    found = find_garbage(objects, referred, days * DAY_S, NOW)
    gone = {entry.key: entry for entry in (*found.runs, *found.entries, *found.contents)}
    assert not gone.keys() & referred
    assert all(NOW - entry.modified_at >= days * DAY_S for entry in gone.values())
    assert all(NOW - entry.modified_at >= 2 * DAY_S for entry in (*found.entries, *found.contents))
    assert "something/else" not in gone
    for run in "ab":
        keys = {entry.key for entry in objects if entry.key.startswith(f"runs/{run}/")}
        assert keys <= gone.keys() or not keys & gone.keys()  # whole, or not at all
