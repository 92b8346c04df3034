"""Why a step ran, by what earlier runs left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.plan import ExecutionPlan, ReusedStep
from flowyml_aws.runtime.result import JobResult, StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.keys import RunKeys, StepKey
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.submission.why import explain_step
from tests.support.plans import a_job, a_plan

PLAN = a_plan(
    a_job("load"), a_job("fit", after=["load"], reads={"load": "load"}), backend="local"
).model_copy(update={"pipeline": "demo"})


def a_key(assets: Mapping[str, str | None] | None = None, **changes: object) -> StepKey:
    known = {"code": {"pipe.f": "1"}, "context": {"lr": "1"}, "returned": None, "outputs": ("a",)}
    return StepKey.model_validate({**known, "assets": dict(assets or {}), **changes})


class Past:
    """Runs of one pipeline in a store, a second apart."""

    def __init__(self, folder: Path) -> None:
        self.store = DirectoryArtifactStore(folder / "store")
        self.ids: list[str] = []

    def ran(
        self,
        load: StepKey | None,
        fit: StepKey | None = None,
        anew: tuple[str, ...] = (),
        plan: ExecutionPlan = PLAN,
        contents: Mapping[str, str] | None = None,
    ) -> RunStatus:
        number = len(self.ids) + 1
        run_id = f"demo-20260101-00000{number}-abcdef"
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
        self.store.put(layout.plan, plan.to_json())
        self.store.put(layout.keys, RunKeys(forced=anew, steps=keys).to_json())
        for job in plan.jobs:
            told = {
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
                assets=told,
                skipped=(),
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


def test_what_changed_of_a_step_itself_is_named(past: Past) -> None:
    past.ran(a_key(code={"pipe.f": "1", "pipe.OLD": "1"}, returned="1"))
    now = past.ran(a_key(code={"pipe.f": "2", "pipe.NEW": "1"}, context={"lr": "2"}, returned="2"))
    assert past.why(now, "load") == [
        f"load (succeeded): since run {past.ids[0]}",
        "  code of pipe.NEW is new",
        "  code of pipe.OLD is gone",
        "  code of pipe.f changed",
        "  context value 'lr' changed",
        "  what its cache function returns changed",
    ]


def test_other_outputs_and_other_inputs_are_named(past: Past) -> None:
    past.ran(a_key({"x": "1"}, outputs=("b", "c")))
    now = past.ran(a_key())
    assert past.why(now, "load")[1:] == ["  its outputs were b, c", "  it read x"]


def test_a_change_upstream_is_followed_to_its_source(past: Past) -> None:
    past.ran(a_key(), a_key({"load": "key1 load"}))
    now = past.ran(a_key(context={"lr": "2"}), a_key({"load": "key2 load"}))
    assert past.why(now, "fit")[1:] == [
        "  input 'load', made by load, depends on other things",
        "    context value 'lr' changed",
    ]


def test_where_content_decides_it_is_the_stored_contents_that_are_compared(past: Past) -> None:
    key = a_key({"load": None})
    past.ran(None, key, contents={"load": "1" * 64})
    same = past.ran(None, key, contents={"load": "1" * 64})
    assert "nothing changed" in past.why(same, "fit")[0]
    other = past.ran(None, key, contents={"load": "2" * 64})
    assert past.why(other, "fit")[1:] == ["  input 'load', made by load, has another content"]


def test_another_given_value_is_told(past: Past) -> None:
    past.ran(a_key({"seed": "1"}))
    now = past.ran(a_key({"seed": "2"}))
    assert past.why(now, "load")[1:] == ["  input 'seed' was given another value"]


def test_each_step_behind_is_explained_once(past: Past) -> None:
    both = a_plan(
        a_job("load", produces={"load": ("x", "y")}), a_job("fit", after=["load"]), backend="local"
    ).model_copy(update={"pipeline": "demo"})
    past.ran(a_key(), a_key({"x": "1 x", "y": "1 y"}), plan=both)
    now = past.ran(a_key(code={"pipe.f": "2"}), a_key({"x": "2 x", "y": "2 y"}), plan=both)
    assert sum("code of pipe.f changed" in line for line in past.why(now, "fit", both)) == 1


def test_a_refreshed_step_and_those_behind_it_say_so(past: Past) -> None:
    past.ran(a_key(), a_key({"load": "1 load"}))
    now = past.ran(a_key(), a_key({"load": "1 load"}), forced=("load",))
    assert "told to run it" in past.why(now, "load")[0]
    assert "a step it depends on was refreshed" in past.why(now, "fit")[0]


def test_a_value_that_was_not_there_is_told_as_such(past: Past) -> None:
    past.ran(a_key())
    assert "what it made was not there" in past.why(past.ran(a_key()), "load")[0]


def test_a_step_that_is_never_cached_says_so(past: Past) -> None:
    assert "cache=False" in past.why(past.ran(None), "load")[0]


def test_without_an_earlier_run_that_has_the_step_there_is_nothing_to_compare(past: Past) -> None:
    past.ran(None, a_key())
    told = past.why(past.ran(a_key()), "load")
    assert told == [f"load (succeeded): no earlier run of 'demo' in {past.store.uri} has this step"]


def test_a_step_that_did_not_run_names_the_run_that_made_its_assets(past: Past) -> None:
    reused = {"load": ReusedStep(produces=("load",), run_id="demo-earlier")}
    plan = PLAN.model_copy(update={"jobs": PLAN.jobs[1:], "reused": reused})
    now = past.ran(a_key(), a_key({"load": "1 load"}), plan=plan)
    assert past.why(now, "load", plan)[0] == "load did not run: run demo-earlier made the same"


def test_a_step_that_the_run_does_not_have_is_an_error(past: Past) -> None:
    with pytest.raises(RunNotFoundError, match="no step 'lod'") as told:
        past.why(past.ran(a_key()), "lod")
    assert told.value.fix == "did you mean 'load'?"


def test_a_run_that_left_no_keys_is_an_error(past: Past) -> None:
    now = past.ran(a_key())
    past.store.path(RunLayout(now.run_id).keys).unlink()
    with pytest.raises(RunNotFoundError, match="left no keys"):
        past.why(now, "load")
