"""Objects of a store that garbage collection deletes, and those that it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.artifacts.folder_index import FolderFile, FolderIndex
from flowyml_aws.artifacts.layout import (
    USES,
    RunLayout,
    artifact_key,
    cache_entry_key,
    use_key,
)
from flowyml_aws.artifacts.list_index import ListIndex, ListItem
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore, ObjectEntry
from flowyml_aws.artifacts.transfer import save_values
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.caching.entries import CacheEntry, write_entry
from flowyml_aws.core.arguments import Arguments
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.planning.plan import ExecutionPlan, ReusedStep
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.runtime.program import Program
from flowyml_aws.runtime.result import AttemptEvents, JobResult
from flowyml_aws.runtime.spec import (
    AssetSource,
    CodeSource,
    JobSpec,
    SpecPack,
    StepSpec,
    StoredObject,
)
from flowyml_aws.submission.garbage import SETTLE_S, Garbage, collect, find_garbage
from flowyml_aws.submission.record import RunOutcome, RunRecord, RunState
from tests.support.plans import a_plan
from tests.support.stores import date_back, overwrite

DAY_S = 86400.0
NOW = 1000 * DAY_S
OLD_S = 100 * DAY_S


class AgedStore:
    """A store that contains runs, entries and values of chosen ages."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.waited: list[float] = []

    def value(self, value: int, age_s: float = OLD_S) -> ArtifactRef:
        ref = save_value(self.store, "a", value)
        date_back(self.store, artifact_key(ref.sha256), age_s)
        return ref

    def put(self, key: str, data: bytes = b"{}", age_s: float = OLD_S) -> None:
        overwrite(self.store, key, data)
        date_back(self.store, key, age_s)

    def run(self, run_id: str, age_s: float = OLD_S, ended: bool = True) -> RunLayout:
        layout = RunLayout(run_id)
        record = RunRecord(
            run_id=run_id, pipeline="p", backend="local", created_at=0, client="here", specs={}
        )
        self.put(layout.plan, StoredPlan.of(a_plan()).to_json(), age_s)
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
        """Return all keys, without those of markers."""
        return {entry.key for entry in self.store.walk("")} - self.markers()

    def markers(self) -> set[str]:
        return {entry.key for entry in self.store.walk(USES)}


@pytest.fixture
def aged(store: ArtifactStore) -> AgedStore:
    return AgedStore(store)


def test_old_ended_runs_are_deleted_and_recent_runs_are_kept(aged: AgedStore) -> None:
    old, young = aged.run("p-1-1-a"), aged.run("p-1-1-b", age_s=DAY_S)
    garbage = aged.collect()
    assert garbage.run_ids == ["p-1-1-a"]
    remaining = aged.keys()
    assert remaining == {young.run, young.plan, young.outcome}
    assert old.run not in remaining


def test_an_old_run_without_an_outcome_is_kept_and_reported(aged: AgedStore) -> None:
    aged.run("p-1-1-a", ended=False)
    assert aged.collect(0).unended == ("p-1-1-a",)
    remaining = aged.keys()
    assert RunLayout("p-1-1-a").run in remaining


def test_a_run_whose_jobs_still_write_is_not_old(aged: AgedStore) -> None:
    layout = aged.run("p-1-1-a")
    aged.put(layout.attempt("j", 1, "log.txt"), age_s=10)
    assert aged.collect(1).run_ids == []


def test_a_run_being_written_is_kept_and_an_abandoned_one_is_deleted(
    aged: AgedStore,
) -> None:
    being_written, died = RunLayout("p-1-1-a"), RunLayout("p-1-1-b")
    aged.put(being_written.plan, StoredPlan.of(a_plan()).to_json(), age_s=10)
    aged.put(died.plan, StoredPlan.of(a_plan()).to_json())
    assert aged.collect(0).run_ids == ["p-1-1-b"]
    assert aged.keys() == {being_written.plan}


def test_contents_without_references_are_deleted_after_two_days(aged: AgedStore) -> None:
    aged.value(1)
    young = aged.value(2, age_s=1.5 * DAY_S)
    aged.put("payloads/aa")
    aged.put("code/aa.tar.zst")
    aged.collect(0)
    assert aged.keys() == {artifact_key(young.sha256)}


def test_old_entries_are_deleted_with_their_values_and_used_entries_are_kept(
    aged: AgedStore,
) -> None:
    old, used = aged.value(1), aged.value(2)
    aged.entry("old", old)
    aged.entry("used", used, age_s=DAY_S)
    aged.collect()
    assert aged.keys() == {cache_entry_key("used"), artifact_key(used.sha256)}


def test_everything_that_a_kept_run_refers_to_is_kept(aged: AgedStore, tmp_path: Path) -> None:
    layout = aged.run("p-1-1-a", age_s=10, ended=False)
    refs = [aged.value(number) for number in range(4)]
    reused, external, stored, reported = refs
    plan = a_plan().model_copy(
        update={"reused": {"s": ReusedStep(produces=("a",), run_id="r", assets={"a": reused})}}
    )
    aged.put(layout.plan, StoredPlan.of(plan).to_json(), age_s=10)
    aged.put(layout.specs(0), SpecPack(specs=(a_spec(external),)).to_json(), age_s=10)
    aged.put("payloads/aa")
    aged.put("payloads/cc")
    aged.put("code/bb.tar.zst")
    result = JobResult(
        run_id="r",
        job="j",
        attempt=1,
        state="succeeded",
        started_at=0,
        ended_at=0,
        steps=(),
        assets={"b": stored},
        skipped={},
    )
    aged.put(layout.result("j"), result.to_json(), age_s=10)
    events = AttemptEvents(attempt=1, steps=(), assets={"c": reported})
    aged.put(layout.attempt("k", 1, "events.json"), events.to_json(), age_s=10)
    assert aged.collect(0).contents == ()
    loaded = [load_value(aged.store, ref, "a", tmp_path / "loaded") for ref in refs]
    assert loaded == [0, 1, 2, 3]


def test_what_a_run_of_an_earlier_version_refers_to_is_kept(aged: AgedStore) -> None:
    layout = aged.run("p-1-1-a", age_s=10, ended=False)
    external = aged.value(1)
    aged.put(f"{layout.prefix}jobs/j/spec.json", a_spec(external).to_json(), age_s=10)
    aged.put("payloads/aa")
    assert aged.collect(0).contents == ()


def a_spec(external: ArtifactRef) -> JobSpec:
    stored = StoredObject(key="payloads/aa", sha256="aa", size_bytes=0)
    bundle = StoredObject(key="code/bb.tar.zst", sha256="bb", size_bytes=0)
    step_spec = StepSpec(
        name="s",
        reads=(),
        arguments=Arguments(),
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
        code=CodeSource(bundle=bundle, in_place=False, root="/", program=Program(paths=())),
        payload=stored,
        large_values=(StoredObject(key="payloads/cc", sha256="cc", size_bytes=0),),
        steps=(step_spec,),
        assets={"x": AssetSource(ref=external)},
    )


def test_a_dry_run_reports_the_same_and_deletes_nothing(aged: AgedStore) -> None:
    aged.run("p-1-1-a")
    aged.entry("old", aged.value(1))
    before = aged.keys()
    dry = aged.collect(dry_run=True)
    assert aged.keys() == before and aged.waited == []
    real = aged.collect()
    assert (dry.runs, dry.entries, dry.contents) == (real.runs, real.entries, real.contents)
    assert aged.keys() == set()
    assert aged.waited == [SETTLE_S]


def test_a_run_that_starts_during_a_collection_keeps_its_reused_values(aged: AgedStore) -> None:
    ref = aged.value(1)
    aged.entry("old", ref)
    layout = RunLayout("p-1-1-a")
    reused = {"s": ReusedStep(produces=("a",), run_id="r", assets={"a": ref})}
    plan: ExecutionPlan = a_plan().model_copy(update={"reused": reused})
    # The run read the cache entry before the entry was deleted.
    collect(
        aged.store,
        30 * DAY_S,
        time.time,
        lambda _: overwrite(aged.store, layout.plan, StoredPlan.of(plan).to_json()),
        dry_run=False,
    )
    assert aged.keys() == {layout.plan, artifact_key(ref.sha256)}


def test_a_value_that_is_stored_again_during_a_collection_is_kept(aged: AgedStore) -> None:
    ref = aged.value(1)
    aged.entry("old", ref)

    def stored_again(_: float) -> None:
        save_value(aged.store, "a", 1)

    collect(aged.store, 30 * DAY_S, time.time, stored_again, dry_run=False)
    assert aged.keys() == {artifact_key(ref.sha256)}


def test_a_fresh_marker_keeps_a_value_and_an_old_one_does_not(aged: AgedStore) -> None:
    used, unused = aged.value(1), aged.value(2)
    aged.put(use_key(used.key), b"", age_s=3600)
    aged.put(use_key(unused.key), b"")
    collect(aged.store, 30 * DAY_S, time.time, lambda _: None, dry_run=False)
    assert aged.keys() == {used.key}
    assert aged.markers() == {use_key(used.key)}


def packed(aged: AgedStore) -> tuple[ArtifactRef, ArtifactRef]:
    """Return the refs of two values in one old pack."""
    refs = save_values(aged.store, {"a": 1, "b": 2})
    date_back(aged.store, refs["a"].key, OLD_S)
    return refs["a"], refs["b"]


def test_a_pack_is_kept_while_one_of_its_values_is_referred_to(
    aged: AgedStore, tmp_path: Path
) -> None:
    first, second = packed(aged)
    aged.entry("old", first)
    aged.entry("used", second, age_s=DAY_S)
    aged.collect()
    assert aged.keys() == {cache_entry_key("used"), second.key}
    assert load_value(aged.store, second, "b", tmp_path) == 2


def test_a_pack_without_references_is_deleted(aged: AgedStore) -> None:
    first, second = packed(aged)
    aged.entry("old", first, second)
    aged.collect()
    assert aged.keys() == set()


def test_a_pack_that_is_stored_again_during_a_collection_is_kept(aged: AgedStore) -> None:
    first, second = packed(aged)
    aged.entry("old", first, second)

    def stored_again(_: float) -> None:
        save_values(aged.store, {"a": 1, "b": 2})

    collect(aged.store, 30 * DAY_S, time.time, stored_again, dry_run=False)
    assert aged.keys() == {first.key}


def test_a_value_of_a_deleted_pack_can_be_in_another_pack(aged: AgedStore, tmp_path: Path) -> None:
    packed(aged)
    refs = save_values(aged.store, {"a": 1, "c": 3})
    aged.entry("young", *refs.values(), age_s=DAY_S)
    aged.collect()
    assert aged.keys() == {cache_entry_key("young"), refs["a"].key}
    assert load_value(aged.store, refs["a"], "a", tmp_path) == 1


def test_the_marker_of_a_value_that_exists_is_kept(aged: AgedStore) -> None:
    layout, ref = aged.run("r", age_s=10), aged.value(1)
    reused = {"s": ReusedStep(produces=("a",), run_id="r", assets={"a": ref})}
    plan: ExecutionPlan = a_plan().model_copy(update={"reused": reused})
    aged.put(layout.plan, StoredPlan.of(plan).to_json(), age_s=10)
    aged.put(use_key(ref.key), b"")
    aged.put(use_key("payloads/gone"), b"")
    collect(aged.store, 30 * DAY_S, time.time, lambda _: None, dry_run=False)
    assert aged.markers() == {use_key(ref.key)}


@pytest.mark.parametrize(
    "damage",
    [
        lambda layout: layout.plan,
        lambda layout: layout.specs(0),
        lambda layout: layout.result("j"),
        lambda layout: layout.attempt("j", 1, "events.json"),
        lambda layout: cache_entry_key("young"),
    ],
)
def test_no_value_is_deleted_while_a_kept_document_is_unreadable(
    aged: AgedStore, damage: Callable[[RunLayout], str]
) -> None:
    layout = aged.run("p-1-1-a", age_s=10)
    aged.value(1)
    key = damage(layout)
    aged.put(key, b'{"version": 99}', age_s=10)
    before = aged.keys()
    with pytest.raises(DamagedArtifactError, match="Garbage collection failed") as caught:
        aged.collect(1)
    assert key in caught.value.what
    assert aged.keys() == before


def test_the_times_that_plans_use_are_kept_and_older_ones_are_deleted(aged: AgedStore) -> None:
    for number in range(12):
        aged.put(f"history/aa/p-{number:02}.json", age_s=OLD_S - number)
    aged.collect()
    assert sorted(aged.keys()) == [f"history/aa/p-{number:02}.json" for number in range(2, 12)]


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
def test_recent_or_referenced_objects_are_never_garbage(
    objects: list[ObjectEntry], referenced: set[str], days: float
) -> None:
    garbage = find_garbage(objects, referenced, days * DAY_S, NOW)
    deleted = {entry.key: entry for entry in (*garbage.runs, *garbage.entries, *garbage.contents)}
    assert not deleted.keys() & referenced
    assert all(NOW - entry.modified_at >= days * DAY_S for entry in deleted.values())
    assert all(
        NOW - entry.modified_at >= 2 * DAY_S for entry in (*garbage.entries, *garbage.contents)
    )
    assert "something/else" not in deleted
    for run in "ab":
        keys = {entry.key for entry in objects if entry.key.startswith(f"runs/{run}/")}
        assert keys <= deleted.keys() or not keys & deleted.keys()  # all of a run, or nothing


def test_items_of_lists_are_kept_as_long_as_something_refers_to_the_list(aged: AgedStore) -> None:
    def listed(*values: int) -> tuple[ArtifactRef, set[str]]:
        items = [aged.value(value) for value in values]
        index = ListIndex(
            length=len(items),
            items=tuple(ListItem(position=n, ref=ref) for n, ref in enumerate(items)),
        )
        ref = save_value(aged.store, "a", index)
        date_back(aged.store, artifact_key(ref.sha256), OLD_S)
        return ref, {each.key for each in (ref, *items)}

    (kept, keys), (_, garbage) = listed(1, 2), listed(3)
    aged.entry("k", kept, age_s=DAY_S)
    aged.collect()
    assert keys <= aged.keys()
    assert not garbage & aged.keys()


def test_files_of_folders_are_kept_as_long_as_something_refers_to_the_folder(
    aged: AgedStore,
) -> None:
    file = aged.value(7)
    index = FolderIndex(
        files=(FolderFile(path="a", size_bytes=file.size_bytes, sha256=file.sha256),)
    )
    ref = save_value(aged.store, "data", index)
    date_back(aged.store, artifact_key(ref.sha256), OLD_S)
    aged.entry("k", ref, age_s=DAY_S)
    aged.collect()
    assert {file.key, ref.key} <= aged.keys()
    aged.store.delete([cache_entry_key("k")])
    aged.collect()
    assert not {file.key, ref.key} & aged.keys()


def test_the_run_that_a_schedule_copies_is_kept_until_the_schedule_is_deleted() -> None:
    layout = RunLayout("p-20250101-000000-000000")
    keys = [layout.schedule, layout.plan, layout.specs(0), layout.firing(1)]
    objects = [ObjectEntry(key, 1, NOW - OLD_S) for key in keys]
    assert find_garbage(objects, (), DAY_S, NOW).runs == ()
    assert len(find_garbage(objects[1:], (), DAY_S, NOW).runs) == 3
