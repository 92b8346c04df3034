from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws import GPUConfig, NodeAffinity, Pipeline, ResourceRequirements, step
from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.core.errors import InvalidPipelineError, NoInstanceFitsError
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.planning.catalog_files import load_catalog
from flowyml_aws.planning.make import make_plan, transitive_reduction
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.targets import offline_targets


def a_step(
    name: str,
    reads: list[str] | None = None,
    group: str | None = None,
    resources: ResourceRequirements | None = None,
    cache: str | None = None,
    timeout: float | None = None,
    retry: int = 0,
) -> Step:
    made = step(
        name=name,
        inputs=reads,
        outputs=[f"{name}.out"],
        execution_group=group,
        resources=resources,
        cache=cache,
        timeout=timeout,
        retry=retry,
    )
    return made(lambda **_: None)


def plan_of(*steps: Step, backend: str = "batch") -> ExecutionPlan:
    graph, problems = read_graph(steps)
    assert graph is not None
    assert not problems
    catalog = load_catalog()
    groups = group_steps(graph.steps)
    return make_plan("p", Placement(backend), graph, groups, offline_targets(catalog), catalog)


def job_of(plan: ExecutionPlan, name: str) -> PlannedJob:
    (found,) = [job for job in plan.jobs if job.name == name]
    return found


def test_every_step_is_in_one_job_in_running_order() -> None:
    plan = plan_of(
        a_step("a", group="g"), a_step("b", ["a.out"], group="g"), a_step("c", ["b.out"])
    )
    assert [(job.name, job.steps) for job in plan.jobs] == [("g", ("a", "b")), ("c", ("c",))]


def test_a_job_waits_only_for_the_parents_that_no_other_parent_waits_for() -> None:
    plan = plan_of(a_step("a"), a_step("b", ["a.out"]), a_step("c", ["a.out", "b.out"]))
    assert job_of(plan, "c").after == ("b",)
    assert job_of(plan, "c").reads == {"a.out": "a", "b.out": "b"}


def test_values_are_stored_that_another_job_reads_or_that_nobody_reads() -> None:
    plan = plan_of(
        a_step("a", group="g"),
        a_step("b", ["a.out"], group="g"),
        a_step("c", ["b.out"], group="g"),
        a_step("d", ["b.out"]),
    )
    assert job_of(plan, "g").stored == ("b.out", "c.out")


def test_a_value_inside_a_group_is_stored_where_its_step_names_a_cache_rule() -> None:
    plan = plan_of(a_step("a", group="g", cache="code_hash"), a_step("b", ["a.out"], group="g"))
    assert job_of(plan, "g").stored == ("a.out", "b.out")


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


def test_a_plan_on_this_machine_names_no_instance_and_no_price() -> None:
    plan = plan_of(a_step("a"), backend="local")
    assert plan.jobs[0].target == "local"
    assert plan.jobs[0].offers == ()
    assert plan.region is None


def test_what_no_instance_type_has_is_an_error_also_on_this_machine() -> None:
    greedy = a_step("a", resources=ResourceRequirements(gpu=GPUConfig("a100", count=16)))
    with pytest.raises(InvalidPipelineError, match=r"(?s)Step 'a'.*8") as caught:
        plan_of(greedy, backend="local")
    assert isinstance(caught.value.problems[0], NoInstanceFitsError)


def test_a_label_that_only_a_real_queue_has_does_not_keep_a_step_from_this_machine() -> None:
    affinity = NodeAffinity(required={"team": "vision"})
    steps = a_step("a", resources=ResourceRequirements(node_affinity=affinity))
    assert plan_of(steps, backend="local").jobs[0].target == "local"
    with pytest.raises(InvalidPipelineError, match="team"):
        plan_of(steps)


def test_each_group_that_nothing_serves_is_in_the_report() -> None:
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


def test_a_job_has_a_time_limit_only_where_every_step_has_one() -> None:
    limited = plan_of(
        a_step("a", group="g", timeout=100, retry=1), a_step("b", group="g", timeout=50)
    )
    assert limited.jobs[0].timeout_s == 100 * 2 + 60 + 50 + 600
    open_ended = plan_of(a_step("a", group="g", timeout=100), a_step("b", group="g"))
    assert open_ended.jobs[0].timeout_s is None


def test_steps_of_a_group_that_could_run_in_parallel_are_noted() -> None:
    plan = plan_of(a_step("a", group="g"), a_step("b", group="g"))
    assert any("'a' and 'b'" in note for note in plan.jobs[0].notes)


def test_a_plan_is_the_same_after_a_trip_through_json() -> None:
    plan = plan_of(a_step("a", group="g"), a_step("b", ["a.out"]))
    assert read_document(ExecutionPlan, plan.to_json(), "here") == plan


def test_the_price_of_all_jobs_is_their_sum() -> None:
    plan = plan_of(a_step("a"), a_step("b"))
    assert plan.dearest_usd_hour == pytest.approx(2 * (plan.jobs[0].price_usd_hour or 0))


def test_a_pipelines_plan_without_an_account_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWYML_AWS_STORE", raising=False)
    plan = Pipeline("p").add_step(a_step("a")).plan(backend="batch")
    assert any("no account" in note for note in plan.notes)


@st.composite
def acyclic_graphs(draw: st.DrawFn) -> dict[str, set[str]]:
    size = draw(st.integers(1, 9))
    return {str(node): {str(p) for p in range(node) if draw(st.booleans())} for node in range(size)}


def ancestors(parents: dict[str, set[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for node, of in parents.items():
        found[node] = set(of).union(*(found[parent] for parent in of))
    return found


@given(acyclic_graphs())
def test_the_reduction_keeps_all_ancestors_and_no_parent_that_another_one_implies(
    parents: dict[str, set[str]],
) -> None:
    reduced = {node: set(of) for node, of in transitive_reduction(parents).items()}
    assert ancestors(reduced) == ancestors(parents)
    above = ancestors(parents)
    for of in reduced.values():
        assert not any(one in above[other] for one in of for other in of)
