from __future__ import annotations

from collections.abc import Sequence

import pytest

from flowyml_aws import GPUConfig, NodeAffinity, Pipeline, ResourceRequirements, step
from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.distributed import Launcher
from flowyml_aws.core.errors import InvalidPipelineError, NoInstanceFitsError
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.spot import SpotRule
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.planning.history import Growth, RunTimes
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.targets import Target, offline_targets


def a_step(
    name: str,
    reads: list[str] | None = None,
    group: str | None = None,
    resources: ResourceRequirements | None = None,
    cache: str | None = None,
    timeout: float | None = None,
    retry: int = 0,
    distributed: Launcher | None = None,
) -> Step:
    decorate = step(
        name=name,
        inputs=reads,
        outputs=[f"{name}.out"],
        execution_group=group,
        resources=resources,
        cache=cache,
        timeout=timeout,
        retry=retry,
        distributed=distributed,
    )
    return decorate(lambda **_: None)


def plan_of(
    *steps: Step,
    backend: str = "batch",
    targets: Sequence[Target] = (),
    history: Sequence[RunTimes] = (),
    spot: SpotRule | None = None,
) -> ExecutionPlan:
    graph, problems = read_graph(steps)
    assert graph is not None
    assert not problems
    catalog = load_catalog()
    groups = group_steps(graph.steps)
    targets = targets or offline_targets(catalog)
    return make_plan("p", Placement(backend), graph, groups, targets, catalog, history, spot=spot)


def job_of(plan: ExecutionPlan, name: str) -> PlannedJob:
    (job,) = [job for job in plan.jobs if job.name == name]
    return job


def test_every_step_is_in_one_job_in_running_order() -> None:
    plan = plan_of(
        a_step("a", group="g"), a_step("b", ["a.out"], group="g"), a_step("c", ["b.out"])
    )
    assert [(job.name, job.steps) for job in plan.jobs] == [("g", ("a", "b")), ("c", ("c",))]


def test_a_job_waits_only_for_parents_that_no_other_parent_waits_for() -> None:
    plan = plan_of(a_step("a"), a_step("b", ["a.out"]), a_step("c", ["a.out", "b.out"]))
    assert job_of(plan, "c").after == ("b",)
    assert job_of(plan, "c").reads == {"a.out": "a", "b.out": "b"}


def test_values_are_stored_if_another_job_reads_them_or_no_step_does() -> None:
    plan = plan_of(
        a_step("a", group="g"),
        a_step("b", ["a.out"], group="g"),
        a_step("c", ["b.out"], group="g"),
        a_step("d", ["b.out"]),
    )
    assert job_of(plan, "g").stored == ("b.out", "c.out")


def test_a_value_inside_a_group_is_stored_if_its_step_has_a_cache_rule() -> None:
    plan = plan_of(a_step("a", group="g", cache="code_hash"), a_step("b", ["a.out"], group="g"))
    assert job_of(plan, "g").stored == ("a.out", "b.out")


@pytest.mark.parametrize(
    ("nodes", "distributed"), [(2, None), (1, "torchrun")], ids=["nodes", "torchrun"]
)
def test_a_value_inside_a_group_is_stored_if_several_processes_load_it(
    nodes: int, distributed: Launcher | None
) -> None:
    resources = ResourceRequirements(nodes=nodes)
    plan = plan_of(
        a_step("a", group="g"),
        a_step("b", ["a.out"], group="g", resources=resources, distributed=distributed),
        a_step("c", ["b.out"], group="g"),
    )
    assert job_of(plan, "g").stored == ("a.out", "c.out")


@pytest.mark.parametrize(
    ("gpu", "family"),
    [
        ("nvidia-a100", "p4d"),
        ("nvidia-v100", "p3"),
        ("nvidia-t4", "g4dn"),
        ("a10g", "g5"),
        ("l4", "g6"),
        ("l40s", "g6e"),
        ("h100", "p5"),
        ("a100-80gb", "p4de"),
    ],
)
def test_each_gpu_has_its_family(gpu: str, family: str) -> None:
    plan = plan_of(a_step("a", resources=ResourceRequirements(gpu=GPUConfig(gpu))))
    assert (plan.jobs[0].instance_type or "").partition(".")[0] == family


def test_a_plan_on_this_machine_has_no_instance_type_and_no_price() -> None:
    plan = plan_of(a_step("a"), backend="local")
    assert plan.jobs[0].target == "local"
    assert plan.jobs[0].offers == ()
    assert plan.region is None


def test_resources_that_no_instance_type_has_are_an_error_also_on_this_machine() -> None:
    greedy = a_step("a", resources=ResourceRequirements(gpu=GPUConfig("a100", count=16)))
    with pytest.raises(InvalidPipelineError, match=r"(?s)Step 'a'.*8") as caught:
        plan_of(greedy, backend="local")
    assert isinstance(caught.value.problems[0], NoInstanceFitsError)


def test_a_label_of_a_real_queue_does_not_exclude_this_machine() -> None:
    affinity = NodeAffinity(required={"team": "vision"})
    labelled = a_step("a", resources=ResourceRequirements(node_affinity=affinity))
    assert plan_of(labelled, backend="local").jobs[0].target == "local"
    with pytest.raises(InvalidPipelineError, match="team"):
        plan_of(labelled)


def test_the_report_contains_each_group_that_no_type_fits() -> None:
    huge = ResourceRequirements(memory="40Ti", cpu="4")
    with pytest.raises(InvalidPipelineError) as caught:
        plan_of(a_step("a", resources=huge), a_step("b", group="g", resources=huge))
    assert [problem.what.split(":")[0] for problem in caught.value.problems] == [
        "Step 'a'",
        "Group 'g'",
    ]


def test_job_names_are_safe_in_paths_and_unique() -> None:
    plan = plan_of(a_step("fit model"), a_step("fit.model"), a_step("FIT-model"), a_step("été/../"))
    assert [job.name for job in plan.jobs] == ["fit-model", "fit-model-2", "FIT-model-3", "t"]


def test_a_job_has_a_timeout_only_if_every_step_has_one() -> None:
    limited = plan_of(
        a_step("a", group="g", timeout=100, retry=1), a_step("b", group="g", timeout=50)
    )
    assert limited.jobs[0].timeout_s == 100 * 2 + 60 + 50 + 600
    unlimited = plan_of(a_step("a", group="g", timeout=100), a_step("b", group="g"))
    assert unlimited.jobs[0].timeout_s is None


def test_a_note_reports_steps_of_a_group_that_could_run_in_parallel() -> None:
    plan = plan_of(a_step("a", group="g"), a_step("b", group="g"))
    assert any("'a' and 'b'" in note for note in plan.jobs[0].notes)


def test_a_note_names_inputs_that_only_decide_the_order() -> None:
    clean = step(name="clean", inputs=["a.out"])(lambda: None)
    plan = plan_of(a_step("a"), clean)
    assert "step 'clean' has no parameters: 'a.out' only decides its order" in plan.jobs[1].notes


def test_a_plan_survives_a_json_round_trip() -> None:
    plan = plan_of(a_step("a", group="g"), a_step("b", ["a.out"]))
    assert read_document(ExecutionPlan, plan.to_json(), "test") == plan


def test_the_peak_price_is_the_sum_of_all_jobs() -> None:
    plan = plan_of(a_step("a"), a_step("b"))
    assert plan.peak_usd_hour == pytest.approx(2 * (plan.jobs[0].price_usd_hour or 0))


@pytest.mark.contract
def test_a_plan_without_an_account_has_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWYML_AWS_STORE", raising=False)
    plan = Pipeline("p").add_step(a_step("a")).plan(backend="batch")
    assert any("no account" in note for note in plan.notes)


ON_DEMAND = Target("cpu", "batch", ("m6i.large",))
SPOT = Target("spot", "batch", ("m6i.large",), capacity="spot")


def spot_step(rule: SpotRule | None) -> Step:
    return step(name="a", outputs=["a.out"], spot=rule)(lambda: 1)


@pytest.mark.parametrize(
    ("of_step", "of_run", "target"),
    [
        (None, None, "cpu"),  # both cost the same, as no spot price is known
        (None, "prefer", "spot"),
        (None, "always", "spot"),
        (None, "never", "cpu"),
        ("prefer", None, "spot"),
        ("never", "always", "cpu"),
        ("always", "never", "spot"),
        ("prefer", "never", "spot"),
    ],
)
def test_the_rule_of_a_step_overrides_that_of_the_run(
    of_step: SpotRule | None, of_run: SpotRule | None, target: str
) -> None:
    plan = plan_of(spot_step(of_step), targets=(ON_DEMAND, SPOT), spot=of_run)
    assert job_of(plan, "a").target == target


def grown_to(memory_mib: int) -> RunTimes:
    growth = Growth(declared=Needs(), needed=Needs(memory_mib=memory_mib))
    return RunTimes(
        run_id="earlier", pipeline="p", ended_at=0.0, steps={}, asset_bytes={}, grown={"a": growth}
    )


def test_a_job_starts_with_the_memory_that_an_earlier_run_needed() -> None:
    job = job_of(plan_of(a_step("a"), history=[grown_to(6000)]), "a")
    assert (job.needs.memory_mib, job.declared) == (6000, Needs())
    assert "earlier" in job.notes[0]


def test_other_declared_resources_end_the_growth() -> None:
    changed = a_step("a", resources=ResourceRequirements(memory="3Gi"))
    job = job_of(plan_of(changed, history=[grown_to(6000)]), "a")
    assert (job.needs.memory_mib, job.declared) == (3072, None)


def test_a_growth_that_no_target_has_any_more_is_ignored() -> None:
    job = job_of(plan_of(a_step("a"), targets=[ON_DEMAND], history=[grown_to(10**6)]), "a")
    assert (job.needs, job.declared) == (Needs(), None)


@pytest.mark.parametrize(
    ("rule", "target", "fix"),
    [
        ("always", ON_DEMAND, "add a queue on spot capacity"),
        ("never", SPOT, "add a target with capacity on demand"),
    ],
)
def test_a_rule_without_a_target_for_it_is_an_error_that_says_what_to_add(
    rule: SpotRule, target: Target, fix: str
) -> None:
    with pytest.raises(InvalidPipelineError, match=fix):
        plan_of(spot_step(rule), targets=[target])
