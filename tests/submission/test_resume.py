from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowyml_aws.artifacts.refs import ArtifactRef, PackPlace
from flowyml_aws.core.arguments import Arguments
from flowyml_aws.planning.plan import ExecutionPlan, PlannedApproval
from flowyml_aws.runtime.program import Program
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepReport, StepState
from flowyml_aws.runtime.spec import (
    AssetSource,
    CodeSource,
    JobSpec,
    StepCache,
    StepPart,
    StepSpec,
    StoredObject,
)
from flowyml_aws.submission.resume import EarlierRun, finished_jobs, make_resumption
from tests.support.maps import a_map, a_map_job
from tests.support.plans import a_job, a_plan

OBJECT = StoredObject(key="k", sha256="0" * 64, size_bytes=1)


def a_ref(letter: str) -> ArtifactRef:
    return ArtifactRef(uri=f"s3://b/{letter}", sha256=letter * 64, size_bytes=1, codec="json/1")


def a_packed_ref(letter: str, pack: str) -> ArtifactRef:
    place = PackPlace(sha256=pack * 64, size_bytes=9, offset=0)
    return a_ref(letter).model_copy(update={"pack": place})


def a_step(name: str, cache: StepCache | None = None) -> StepSpec:
    return StepSpec(
        name=name,
        reads=(),
        arguments=Arguments(),
        outputs=(name,),
        stored=(name,),
        retry=0,
        retry_delay_s=1,
        timeout_s=None,
        cache=cache,
    )


def a_spec(job: str, *steps: StepSpec, **assets: AssetSource) -> JobSpec:
    return JobSpec(
        store="s3://b",
        run_id="old",
        pipeline="p",
        job=job,
        python="3.12",
        code=CodeSource(bundle=OBJECT, in_place=False, root="/", program=Program(paths=())),
        payload=OBJECT,
        steps=steps or (a_step(job),),
        assets=assets,
    )


def a_result(job: str, ref: ArtifactRef | None, **skipped: str) -> JobResult:
    return JobResult(
        run_id="old",
        job=job,
        attempt=1,
        state="succeeded",
        started_at=0,
        ended_at=1,
        steps=(),
        assets={} if ref is None else {job: ref},
        skipped=skipped,
    )


def chain(*finished: str, events: dict[str, list[AttemptEvents]] | None = None) -> EarlierRun:
    """Return a run of jobs a → b → c, where c also reads the asset of a."""
    plan = a_plan(
        a_job("a"),
        a_job("b", after=["a"], reads={"a": "a"}),
        a_job("c", after=["b"], reads={"a": "a", "b": "b"}),
    )
    sources = {name: AssetSource(job=name) for name in "ab"}
    return EarlierRun(
        run_id="old",
        plan=plan,
        results={name: a_result(name, a_ref(name)) for name in finished},
        specs={"a": a_spec("a"), "b": a_spec("b", a=sources["a"]), "c": a_spec("c", **sources)},
        events=events or {},
    )


def test_the_assets_of_finished_jobs_are_known_by_their_refs() -> None:
    resumed = make_resumption("new", chain("a", "b"))
    (job,) = resumed.plan.jobs
    assert (job.name, job.after, job.reads) == ("c", (), {"a": None, "b": None})
    spec = resumed.specs["c"]
    assert {name: source.ref for name, source in spec.assets.items()} == {
        "a": a_ref("a"),
        "b": a_ref("b"),
    }
    assert (spec.run_id, spec.first_attempt) == ("new", 0)
    assert resumed.plan.reused["a"].assets == {"a": a_ref("a")}
    assert resumed.plan.reused["a"].run_id == "old"


def test_equal_values_in_two_packs_are_missing_separately() -> None:
    there, gone = a_packed_ref("a", pack="1"), a_packed_ref("a", pack="2")
    results = {"x": a_result("x", there), "y": a_result("y", gone)}
    plan = a_plan(a_job("x"), a_job("y"))
    assert finished_jobs(plan, results, {gone.key}) == {"x": results["x"]}


def test_a_job_waits_for_the_parents_of_a_finished_parent() -> None:
    # The value of `a` is gone, so that it is produced again, and `c` reads it, too.
    resumed = make_resumption("new", chain("a", "b"), missing={a_ref("a").key})
    jobs = {job.name: job for job in resumed.plan.jobs}
    assert list(jobs) == ["a", "c"]
    assert jobs["c"].after == ("a",)
    assert jobs["c"].reads == {"a": "a", "b": None}
    assert resumed.specs["c"].assets["a"] == AssetSource(job="a")


def test_an_asset_of_a_skipped_step_stays_absent() -> None:
    earlier = chain("b")
    skipped = {"a": a_result("a", None, a="the condition of step 'a' is false")}
    resumed = make_resumption(
        "new",
        EarlierRun("old", earlier.plan, {**skipped, **earlier.results}, earlier.specs, {}),
    )
    assert resumed.specs["c"].assets["a"].absent == "the condition of step 'a' is false"
    assert resumed.plan.reused["a"].skipped == {"a": "the condition of step 'a' is false"}


def test_completed_steps_of_an_unfinished_job_are_taken_over_from_all_attempts() -> None:
    earlier = chain()
    steps = (a_step("x"), a_step("y"), a_step("z"))

    def events(number: int, **states: StepState) -> AttemptEvents:
        return AttemptEvents(
            attempt=number,
            steps=tuple(StepReport(name=name, state=state) for name, state in states.items()),
            assets={n: a_ref("d") for n, s in states.items() if s is StepState.SUCCEEDED},
        )

    attempts = [
        events(1, x=StepState.SUCCEEDED, y=StepState.RUNNING),
        events(2, y=StepState.SUCCEEDED, z=StepState.FAILED),
    ]
    run = EarlierRun(
        "old", earlier.plan, {}, {**earlier.specs, "a": a_spec("a", *steps)}, {"a": attempts}
    )
    resumed = make_resumption("new", run)
    taken = resumed.events["a"]
    assert [(report.name, report.state) for report in taken.steps] == [
        ("x", StepState.CACHED),
        ("y", StepState.CACHED),
    ]
    assert taken.steps[0].reason == "completed in run old"
    assert taken.assets == {"x": a_ref("d"), "y": a_ref("d")}
    assert taken.attempt == 0
    assert make_resumption("new", run, missing={a_ref("d").key}).events == {}


def test_cache_entries_are_written_for_the_machine_of_the_new_plan() -> None:
    cache = StepCache(identity="i", assets={}, machine="before", ask=False)
    earlier = chain()
    specs = {**earlier.specs, "a": a_spec("a", a_step("a", cache))}
    resumed = make_resumption("new", EarlierRun("old", earlier.plan, {}, specs, {}))
    (step,) = resumed.specs["a"].steps
    assert step.cache is not None
    assert step.cache.machine == "batch, no GPU, any architecture"


def a_part(name: str, **lists: str) -> StepSpec:
    part = StepPart(number=0, count=2, lists=lists)
    return a_step(f"{name}{{1/2}}").model_copy(update={"part": part})


def items_of_a_part(list_is_finished: bool) -> AttemptEvents | None:
    """Resume a job that has run two of the items of its part, and return what is done."""
    plan = a_plan(a_job("listing"), a_job("g", steps=("train{1/2}",)))
    done = StepReport(name="train[0]", state=StepState.SUCCEEDED)
    failed = StepReport(name="train[1]", state=StepState.FAILED)
    events = AttemptEvents(attempt=1, steps=(done, failed), assets={"model[0]": a_ref("b")})
    spec = a_spec("g", a_part("train", shards="shards"), shards=AssetSource(job="listing"))
    result = JobResult(
        run_id="old",
        job="listing",
        attempt=1,
        state="succeeded",
        started_at=0,
        ended_at=1,
        steps=(),
        assets={"shards": a_ref("a")},
        skipped={},
    )
    results = {"listing": result} if list_is_finished else {}
    specs = {"g": spec, "listing": a_spec("listing")}
    earlier = EarlierRun("old", plan, results, specs, {"g": [events]})
    return make_resumption("new", earlier).events.get("g")


def test_completed_items_of_a_part_do_not_run_again() -> None:
    events = items_of_a_part(list_is_finished=True)
    assert events is not None
    assert [report.name for report in events.steps] == ["train[0]"]
    assert events.assets == {"model[0]": a_ref("b")}


def test_items_of_a_list_that_is_produced_again_are_looked_up_again() -> None:
    assert items_of_a_part(list_is_finished=False) is None


def test_dropped_items_run_again_only_if_too_few_succeeded() -> None:
    jobs = [a_map_job(0, 0), a_map_job(1, 1)]
    good = a_result("train-0", a_ref("a"))
    bad = a_result("train-1", None).model_copy(update={"dropped": {"model[1]": "it failed"}})
    results = {"train-0": good, "train-1": bad}
    for min_success, finished in ((0.5, {"train-0", "train-1"}), (1.0, {"train-0"})):
        planned = a_map(2, on_item_failure="drop", min_success=min_success)
        plan = a_plan(*jobs).model_copy(update={"maps": {"train": planned}})
        assert finished_jobs(plan, results, ()).keys() == finished


def a_branch(*finished: str) -> EarlierRun:
    """Return a run in which `decide` has skipped the jobs `retrain` and `check`."""
    plan = a_plan(
        a_job("decide"),
        a_job("deploy", after=["decide"], held=("decide",), reads={"decide": "decide"}),
        a_job("retrain", after=["decide"], held=("decide",), reads={"decide": "decide"}),
        a_job("check", after=["retrain"], held=("decide",), reads={"retrain": "retrain"}),
    )
    chosen = StepReport(name="decide", state=StepState.SUCCEEDED, case="then")
    results = {
        "decide": a_result("decide", a_ref("a")).model_copy(update={"steps": (chosen,)}),
        "retrain": a_result("retrain", None, retrain="why").model_copy(update={"attempt": 0}),
        "check": a_result("check", None, check="why").model_copy(update={"attempt": 0}),
    }
    decided = {"decide": AssetSource(job="decide")}
    specs = {
        "decide": a_spec("decide"),
        "deploy": a_spec("deploy", **decided),
        "retrain": a_spec("retrain", **decided),
        "check": a_spec("check", retrain=AssetSource(job="retrain")),
    }
    return EarlierRun("old", plan, {name: results[name] for name in finished}, specs, {})


def test_the_case_of_a_finished_decision_is_known_in_the_resumed_run() -> None:
    resumed = make_resumption("new", a_branch("decide", "retrain", "check"))
    assert [job.name for job in resumed.plan.jobs] == ["deploy"]
    source = resumed.specs["deploy"].assets["decide"]
    assert (source.ref, source.case) == (a_ref("a"), "then")
    again = replace(a_branch(), plan=resumed.plan, specs=resumed.specs)
    assert make_resumption("newer", again).specs["deploy"].assets["decide"].case == "then"


def test_the_case_of_a_completed_step_is_known_to_its_job() -> None:
    chosen = StepReport(name="decide", state=StepState.SUCCEEDED, case="then")
    events = AttemptEvents(attempt=1, steps=(chosen,), assets={"decide": a_ref("a")})
    resumed = make_resumption("new", replace(a_branch(), events={"decide": [events]}))
    assert [report.case for report in resumed.events["decide"].steps] == ["then"]


def test_skipped_jobs_are_decided_on_again_with_their_decision() -> None:
    earlier = a_branch("retrain", "check")
    assert finished_jobs(earlier.plan, earlier.results, ()) == {}
    assert make_resumption("new", earlier).specs.keys() == earlier.specs.keys()


def test_items_that_stay_dropped_are_known_in_the_resumed_run() -> None:
    bad = a_result("train-1", None).model_copy(update={"dropped": {"model[1]": "it failed"}})
    planned = a_map(1, on_item_failure="finish")
    plan = a_plan(a_map_job(1, 1)).model_copy(update={"maps": {"train": planned}})
    earlier = EarlierRun("old", plan, {"train-1": bad}, {}, {})
    reused = make_resumption("new", earlier).plan.reused["train[1]"]
    assert reused.dropped == {"model[1]": "it failed"}


def test_dropped_items_of_parts_run_again_only_if_too_few_succeeded() -> None:
    reports = tuple(
        StepReport(name=f"train[{n}]", state=StepState.FAILED if n else StepState.SUCCEEDED)
        for n in range(2)
    )
    bad = a_result("g", None).model_copy(
        update={"steps": reports, "dropped": {"model[1]": "it failed"}}
    )
    job = a_job("g", steps=("train{1/1}",), mapped=("train",))
    for min_success, finished in ((0.5, {"g"}), (0.6, set())):
        planned = a_map(10, parts=1, on_item_failure="drop", min_success=min_success)
        plan = a_plan(job).model_copy(update={"maps": {"train": planned}})
        assert finished_jobs(plan, {"g": bad}, ()).keys() == finished


def approved_chain(*finished: str, approved: Sequence[str] = ()) -> ExecutionPlan:
    """Return the plan of a continued run whose job c waits for an approval of a and b."""
    earlier = chain(*finished)
    a, b, c = earlier.plan.jobs
    jobs = (a, b, c.model_copy(update={"approvals": ("release",)}))
    release = PlannedApproval(after=("a", "b"), inputs=("b",), timeout_s=60.0)
    plan = earlier.plan.model_copy(
        update={
            "jobs": jobs,
            "approvals": {"release": release},
            "notes": ("c will wait for approval 'release', up to 1 h",),
        }
    )
    run = replace(earlier, plan=plan, approved=frozenset(approved))
    return make_resumption("new", run).plan


def test_an_approval_that_was_given_counts_if_nothing_before_it_runs_again() -> None:
    plan = approved_chain("a", "b", approved=["release"])
    assert plan.approvals == {}
    assert plan.jobs[0].approvals == ()
    assert "approval 'release' was given in run old" in plan.notes
    assert not any("will wait" in note for note in plan.notes)


def test_an_approval_is_asked_again_if_it_was_not_given() -> None:
    plan = approved_chain("a", "b")
    assert plan.approvals["release"].after == ()
    assert plan.jobs[0].approvals == ("release",)
    assert "c will wait for approval 'release', up to 1 h" in plan.notes


def test_an_approval_is_asked_again_if_a_job_before_it_runs_again() -> None:
    plan = approved_chain("a", approved=["release"])
    assert plan.approvals["release"].after == ("b",)
    assert plan.jobs[1].approvals == ("release",)
