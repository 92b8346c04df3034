"""Explanations why a step was executed, compared with earlier runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.caching.run_keys import RunKeys, StepKey
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan, PlannedApproval, ReusedStep
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.runtime.result import JobResult, StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.submission.why import explain_step
from tests.support.maps import a_map, a_map_job
from tests.support.plans import a_job, a_plan

PLAN = a_plan(
    a_job("load"), a_job("fit", after=["load"], reads={"load": "load"}), backend="local"
).model_copy(update={"pipeline": "demo"})


def a_key(assets: Mapping[str, str | None] | None = None, **changes: object) -> StepKey:
    defaults = {
        "code": {"pipe.f": "1"},
        "context": {"lr": "1"},
        "returned": None,
        "outputs": ("a",),
    }
    return StepKey.model_validate({**defaults, "assets": dict(assets or {}), **changes})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("release", "'release' is an approval, which no job runs"),
        ("prep", "'prep' is a sub-pipeline with the steps prep/parse, prep/tidy"),
    ],
)
def test_what_is_no_step_is_explained(tmp_path: Path, name: str, why: str) -> None:
    plan = a_plan(a_job("prep", steps=("prep/parse", "prep/tidy")))
    approvals = {"release": PlannedApproval(after=("prep",), timeout_s=60.0)}
    plan = plan.model_copy(update={"approvals": approvals})
    status = RunStatus("r", "p", "batch", 0.0)
    with pytest.raises(RunNotFoundError) as caught:
        explain_step(DirectoryArtifactStore(tmp_path), plan, status, name)
    assert caught.value.why == why


class Past:
    """Earlier runs of one pipeline in a store, a second apart."""

    def __init__(self, folder: Path) -> None:
        self.store = DirectoryArtifactStore(folder / "store")
        self.ids: list[str] = []

    def record_run(
        self,
        load: StepKey | None,
        fit: StepKey | None = None,
        forced: tuple[str, ...] = (),
        plan: ExecutionPlan = PLAN,
        contents: Mapping[str, str] | None = None,
        incomplete: Mapping[str, tuple[str, ...]] | None = None,
        run_id: str | None = None,
    ) -> RunStatus:
        number = len(self.ids) + 1
        run_id = run_id or f"demo-20260101-00000{number}-abcdef"
        self.ids.append(run_id)
        layout = RunLayout(run_id)
        keys = {name: key for name, key in (("load", load), ("fit", fit)) if key is not None}
        record = RunRecord(
            run_id=run_id,
            pipeline="demo",
            backend="local",
            created_at=float(number),
            client="here",
            specs={},
        )
        self.store.put(layout.run, record.to_json())
        self.store.put(layout.plan, StoredPlan.of(plan).to_json())
        self.store.put(
            layout.keys,
            RunKeys(forced=forced, steps=keys, incomplete=dict(incomplete or {})).to_json(),
        )
        for job in plan.jobs:
            refs = {
                asset: ArtifactRef(uri="u", sha256=digest, size_bytes=1, codec="json/1")
                for asset, digest in (contents or {}).items()
                if asset == job.name
            }
            result = JobResult(
                run_id=run_id,
                job=job.name,
                attempt=1,
                state="succeeded",
                started_at=0,
                ended_at=1,
                steps=(),
                assets=refs,
                skipped={},
            )
            self.store.put(layout.result(job.name), result.to_json())
        views = tuple(
            JobView(job, JobState.SUCCEEDED, steps=(StepReport(name=job.name, state=DONE),))
            for job in plan.jobs
        )
        return RunStatus(run_id, "demo", "local", float(number), views, reused=plan.reused)

    def why(self, status: RunStatus, step: str, plan: ExecutionPlan = PLAN) -> list[str]:
        return list(explain_step(self.store, plan, status, step).lines())


DONE = StepState.SUCCEEDED


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def test_the_latest_of_several_runs_in_one_second_is_the_earlier_run(past: Past) -> None:
    for level, suffix in (("1", "cccccc"), ("2", "aaaaaa"), ("3", "bbbbbb")):
        run_id = f"demo-20260101-000000-{suffix}"
        now = past.record_run(a_key(context={"level": level}), run_id=run_id)
    assert past.why(now, "load")[0].endswith("since run demo-20260101-000000-aaaaaa")


def test_changes_of_a_step_itself_are_listed(past: Past) -> None:
    past.record_run(a_key(code={"pipe.f": "1", "pipe.OLD": "1"}, returned="1"))
    now = past.record_run(
        a_key(code={"pipe.f": "2", "pipe.NEW": "1"}, context={"lr": "2"}, returned="2")
    )
    assert past.why(now, "load") == [
        f"load (succeeded): changes since run {past.ids[0]}",
        "  code of pipe.NEW is new",
        "  code of pipe.OLD was removed",
        "  code of pipe.f changed",
        "  context value 'lr' changed",
        "  the return value of its cache function changed",
    ]


def test_changed_outputs_and_inputs_are_listed(past: Past) -> None:
    past.record_run(a_key({"x": "1"}, outputs=("b", "c")))
    now = past.record_run(a_key())
    assert past.why(now, "load")[1:] == ["  its outputs were b, c", "  it read x"]


def test_a_change_upstream_is_followed_to_its_source(past: Past) -> None:
    past.record_run(a_key(), a_key({"load": "key1 load"}))
    now = past.record_run(a_key(context={"lr": "2"}), a_key({"load": "key2 load"}))
    assert past.why(now, "fit")[1:] == [
        "  input 'load', produced by load: its dependencies changed",
        "    context value 'lr' changed",
    ]


def test_assets_keyed_by_content_are_compared_by_their_stored_content(past: Past) -> None:
    key = a_key({"load": None})
    past.record_run(None, key, contents={"load": "1" * 64})
    same = past.record_run(None, key, contents={"load": "1" * 64})
    assert "nothing changed" in past.why(same, "fit")[0]
    other = past.record_run(None, key, contents={"load": "2" * 64})
    assert past.why(other, "fit")[1:] == ["  input 'load', produced by load: its content changed"]


def test_a_changed_external_input_is_reported(past: Past) -> None:
    past.record_run(a_key({"seed": "1"}))
    now = past.record_run(a_key({"seed": "2"}))
    assert past.why(now, "load")[1:] == ["  input 'seed' has a different value"]


def test_changed_additions_and_versions_are_reported(past: Past) -> None:
    old = a_key(additions={"file data.csv": "1"}, versions={"numpy": "1.0", "old": "1"})
    past.record_run(old)
    now = past.record_run(
        a_key(additions={"file data.csv": "2"}, versions={"numpy": "2.0", "pandas": "2.2"})
    )
    assert past.why(now, "load")[1:] == [
        "  file data.csv changed",
        "  package numpy: version 2.0 instead of 1.0",
        "  package old is not used any more",
        "  package pandas 2.2 is new",
    ]


def test_a_step_with_an_incomplete_key_names_the_value(past: Past) -> None:
    reason = "context value 'rows' (generator)"
    past.record_run(None, a_key({"load": None}), contents={"load": "1" * 64})
    now = past.record_run(
        None,
        a_key({"load": None}),
        contents={"load": "2" * 64},
        incomplete={"load": (reason,)},
    )
    line = f"it is executed in every run: {reason} can't be compared with earlier runs"
    assert past.why(now, "load") == ["load (succeeded)", f"  {line}"]
    assert past.why(now, "fit")[1:] == [
        "  input 'load', produced by load: its content changed",
        f"    {line}",
    ]


def test_each_ancestor_is_explained_once(past: Past) -> None:
    both = a_plan(
        a_job("load", produces={"load": ("x", "y")}), a_job("fit", after=["load"]), backend="local"
    ).model_copy(update={"pipeline": "demo"})
    past.record_run(a_key(), a_key({"x": "1 x", "y": "1 y"}), plan=both)
    now = past.record_run(a_key(code={"pipe.f": "2"}), a_key({"x": "2 x", "y": "2 y"}), plan=both)
    assert sum("code of pipe.f changed" in line for line in past.why(now, "fit", both)) == 1


def test_a_refreshed_step_and_its_descendants_mention_the_refresh(past: Past) -> None:
    past.record_run(a_key(), a_key({"load": "1 load"}))
    now = past.record_run(a_key(), a_key({"load": "1 load"}), forced=("load",))
    assert "forced to run" in past.why(now, "load")[0]
    assert "a step it depends on was refreshed" in past.why(now, "fit")[0]


def test_a_missing_value_is_reported(past: Past) -> None:
    past.record_run(a_key())
    assert "its outputs were not available" in past.why(past.record_run(a_key()), "load")[0]


def test_a_step_with_cache_false_says_so(past: Past) -> None:
    assert "cache=False" in past.why(past.record_run(None), "load")[0]


def test_a_step_without_an_earlier_run_says_so(past: Past) -> None:
    past.record_run(None, a_key())
    lines = past.why(past.record_run(a_key()), "load")
    assert lines == [
        f"load (succeeded): no earlier run of 'demo' in {past.store.uri} has this step"
    ]


def test_a_reused_step_names_the_run_that_produced_its_assets(past: Past) -> None:
    reused = {"load": ReusedStep(produces=("load",), run_id="demo-earlier")}
    plan = PLAN.model_copy(update={"jobs": PLAN.jobs[1:], "reused": reused})
    now = past.record_run(a_key(), a_key({"load": "1 load"}), plan=plan)
    assert past.why(now, "load", plan)[0] == "load did not run: reused from run demo-earlier"


def test_an_unknown_step_is_an_error(past: Past) -> None:
    with pytest.raises(RunNotFoundError, match="no step 'lod'") as caught:
        past.why(past.record_run(a_key()), "lod")
    assert caught.value.fix == "did you mean 'load'?"


def test_a_run_without_recorded_keys_is_an_error(past: Past) -> None:
    now = past.record_run(a_key())
    past.store.path(RunLayout(now.run_id).keys).unlink()
    with pytest.raises(RunNotFoundError, match="no recorded cache keys"):
        past.why(now, "load")


MAP_PLAN = a_plan(
    a_map_job(0, 1),
    a_job("fit", reads={"model[0]": "train-0-1", "model[1]": "train-0-1"}),
    backend="local",
).model_copy(update={"pipeline": "demo", "maps": {"train": a_map(3)}})


def test_changed_items_of_a_list_are_one_reason(past: Past) -> None:
    past.record_run(None, a_key({"model[0]": "1", "model[1]": "1"}), plan=MAP_PLAN)
    status = past.record_run(None, a_key({"model[0]": "2", "model[1]": "2"}), plan=MAP_PLAN)
    assert past.why(status, "fit", MAP_PLAN)[1:] == [
        "  2 items of input 'model', produced by train: their dependencies changed"
    ]


def test_a_list_with_more_items_is_described_by_its_length(past: Past) -> None:
    past.record_run(None, a_key({"model[0]": "1"}), plan=MAP_PLAN)
    status = past.record_run(None, a_key({"model[0]": "1", "model[1]": "1"}), plan=MAP_PLAN)
    assert past.why(status, "fit", MAP_PLAN)[1:] == ["  it read model[0]"]


def test_a_map_of_which_some_items_are_reused_has_one_reason(past: Past) -> None:
    reused = {"train[2]": ReusedStep(produces=("model[2]",), run_id="r-0")}
    plan = MAP_PLAN.model_copy(update={"reused": reused})
    status = replace(past.record_run(None, plan=plan), maps=plan.maps)
    for step in ("train", "train[0]"):
        assert past.why(status, step, plan)[1:] == [
            "  no earlier run has outputs for the inputs of the items that were executed"
        ]
    assert past.why(status, "train[2]", plan)[0] == "train[2] did not run: reused from run r-0"


def test_the_steps_of_a_run_with_a_map_are_declared_ones(past: Past) -> None:
    status = replace(past.record_run(None, plan=MAP_PLAN), maps=MAP_PLAN.maps)
    with pytest.raises(RunNotFoundError) as caught:
        past.why(status, "trian", MAP_PLAN)
    assert caught.value.why == "its steps are train, fit"


def test_a_map_over_an_empty_list_did_not_run(tmp_path: Path) -> None:
    plan = PLAN.model_copy(update={"maps": {"train": a_map(0)}})
    status = Past(tmp_path).record_run(a_key(), a_key(), plan=plan)
    status = replace(status, maps=plan.maps)
    reason = explain_step(DirectoryArtifactStore(tmp_path / "store"), plan, status, "train")
    assert reason.text == "train did not run: its list is empty"


def test_a_step_of_a_branch_that_is_not_taken_was_skipped(past: Past) -> None:
    skipped = ReusedStep(produces=("fit",), skipped={"fit": "'d' chose 'then', not 'else'"})
    plan = a_plan(a_job("load"), backend="local").model_copy(
        update={"pipeline": "demo", "reused": {"fit": skipped}}
    )
    status = past.record_run(a_key(), a_key(), plan=plan)
    assert past.why(status, "fit", plan) == ["fit was skipped: 'd' chose 'then', not 'else'"]
