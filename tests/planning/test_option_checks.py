"""Options of jobs in plans: queues, priorities and mounts restrict targets; services lack some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from flowyml_aws import EFS, FlowymlError, FSx, Step, step
from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.job_options import JobOptions
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.planning.advice.merging import cheapest_merge
from flowyml_aws.planning.arrays import job_arrays
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.planning.services import service_traits
from flowyml_aws.planning.stored_plan import StoredPlan
from flowyml_aws.planning.targets import Target, machine_kind, offline_targets
from flowyml_aws.runtime.causes import Cause
from tests.core.graphs import a_step
from tests.support.histories import a_run
from tests.support.plans import a_job, a_plan

CATALOG = load_catalog()
FSX = FSx("fs-0123456789abcdef0")
SMALL = Target("small", "batch", ("m6i.large",), placed_by="queue")
LARGE = Target("large", "batch", ("m6i.4xlarge",), placed_by="queue")
SHARED = replace(LARGE, name="shared", share="flowyml")
WITH_FSX = replace(
    LARGE, name="lustre", labels={"fsx.amazonaws.com/fs-0123456789abcdef0": "mounted"}
)
QUEUES = (SMALL, LARGE, SHARED, WITH_FSX)
EVERY_OPTION: dict[str, Any] = {
    "image": "registry/train:1",
    "queue": "small",
    "priority": 1,
    "role": "arn:aws:iam::123456789012:role/training",
    "shared_memory": "1Gi",
    "ulimits": {"nofile": 65536},
    "mounts": [EFS("fs-0123456789abcdef0")],
    "job_definition": "train",
}


def plan_of(
    *steps: Step,
    backend: str = "batch",
    targets: Sequence[Target] = QUEUES,
    history: Sequence[RunTimes] = (),
) -> ExecutionPlan:
    graph, problems = read_graph(steps)
    assert graph is not None
    assert not problems
    groups = group_steps(graph.steps)
    return make_plan("p", Placement(backend), graph, groups, targets, CATALOG, history)


def problems_of(*steps: Step, **arguments: Any) -> Sequence[FlowymlError]:
    with pytest.raises(InvalidPipelineError) as caught:
        plan_of(*steps, **arguments)
    return caught.value.problems


def test_a_job_runs_on_the_queue_of_its_step() -> None:
    plan = plan_of(a_step("a"), a_step("b", queue="large"))
    assert [(job.target, job.instance_type) for job in plan.jobs] == [
        ("small", "m6i.large"),
        ("large", "m6i.4xlarge"),
    ]
    assert plan.jobs[1].options == JobOptions(queue="large")


def test_a_job_with_a_queue_never_moves_to_another_one() -> None:
    plan = plan_of(a_step("a"), a_step("b", queue="small"))
    free, bound = plan.jobs
    assert plan.alternatives[free.moves[Cause.CAPACITY]].target != "small"
    assert Cause.CAPACITY not in bound.moves
    assert {plan.alternatives[position].target for position in bound.moves.values()} == {"small"}


def test_a_misspelled_queue_is_an_error_with_a_suggestion() -> None:
    (problem,) = problems_of(a_step("a", queue="lage"))
    assert problem.what == "Step 'a': No job queue 'lage'"
    assert problem.why == "the queues of the run are small, large, shared, lustre"
    assert problem.fix == "did you mean 'large'?"


def test_a_job_that_is_too_large_for_its_queue_is_an_error_that_names_the_queue() -> None:
    (problem,) = problems_of(a_step("a", queue="small", resources={"cpu": 16}))
    assert "the job requires queue 'small'" in problem.why
    assert "the largest" in problem.why or "vCPU" in problem.why


def test_a_queue_is_accepted_while_no_account_is_set_up() -> None:
    plan = plan_of(
        a_step("a", queue="any", priority=1, mounts=[FSX]),
        targets=offline_targets(CATALOG, "batch"),
    )
    assert [job.target for job in plan.jobs] == ["catalog"]


def test_a_priority_needs_a_fair_share_queue() -> None:
    plan = plan_of(a_step("a", priority=0), a_step("b"))
    assert [(job.target, job.share) for job in plan.jobs] == [
        ("shared", "flowyml"),
        ("small", None),
    ]
    (problem,) = problems_of(a_step("a", priority=0), targets=[SMALL, LARGE])
    assert "it has no fair-share scheduling policy, which priority= needs" in problem.why
    assert "fair_share in infra/" in problem.fix


def test_a_job_gets_the_share_of_the_queue_that_it_moves_to() -> None:
    plan = plan_of(a_step("a"), targets=[SMALL, SHARED])
    moved = plan.alternatives[plan.jobs[0].moves[Cause.CAPACITY]]
    assert (moved.target, moved.share) == ("shared", "flowyml")


def test_fsx_needs_a_queue_whose_instances_mount_it() -> None:
    assert [job.target for job in plan_of(a_step("a", mounts=[FSX])).jobs] == ["lustre"]
    (problem,) = problems_of(a_step("a", mounts=[FSX]), targets=[SMALL])
    assert "do not mount the file system fs-0123456789abcdef0" in problem.why
    assert "fsx_file_systems of the family in infra/" in problem.fix
    assert "flowyml-aws:label:fsx.amazonaws.com/fs-0123456789abcdef0" in problem.fix


@pytest.mark.parametrize(
    "option", ["queue", "priority", "shared_memory", "ulimits", "mounts", "job_definition"]
)
def test_sagemaker_refuses_what_training_jobs_lack(option: str) -> None:
    a_train = a_step("train", **{option: EVERY_OPTION[option]})
    targets = offline_targets(CATALOG, "sagemaker")
    (problem,) = problems_of(a_train, backend="sagemaker", targets=targets)
    assert problem.what == f"Step 'train': SageMaker has no option {option}"
    elsewhere = 'backend={"train": "batch", "*": "sagemaker"}'
    assert problem.fix == f"omit it, or run the step on AWS Batch: {elsewhere}"


def test_all_refused_options_are_found_at_once() -> None:
    train = a_step("train", ulimits={"core": 0}, shared_memory="1Gi")
    steps = train, a_step("other", queue="q")
    targets = offline_targets(CATALOG, "sagemaker")
    assert len(problems_of(*steps, backend="sagemaker", targets=targets)) == 3


def test_an_image_and_a_role_are_options_of_sagemaker() -> None:
    options = {name: EVERY_OPTION[name] for name in ("image", "role")}
    targets = offline_targets(CATALOG, "sagemaker")
    (job,) = plan_of(a_step("a", **options), backend="sagemaker", targets=targets).jobs
    assert job.options == JobOptions(**options)


def test_every_option_is_used_refused_or_noted_on_each_service() -> None:
    assert service_traits("batch").refused_options == {}
    assert service_traits("sagemaker").refused_options.keys() == EVERY_OPTION.keys() - {
        "image",
        "role",
    }
    assert set(service_traits("local").unused_options) == EVERY_OPTION.keys() - {"mounts"}


def test_this_machine_says_which_options_it_does_not_use() -> None:
    options = {name: EVERY_OPTION[name] for name in ("image", "queue", "priority")}
    (job,) = plan_of(a_step("a", **options), backend="local", targets=()).jobs
    assert job.notes == ("this machine does not use image, queue, priority of its steps",)


def test_a_step_that_gets_an_option_of_its_group_has_a_note() -> None:
    plan = plan_of(
        a_step("a", group="g", image="i", queue="small"),
        a_step("b", ["a"], group="g", queue="small"),
    )
    assert "step 'b' gets options of its group: image" in plan.jobs[0].notes


def test_the_options_of_a_job_are_stored_with_the_plan() -> None:
    options = a_step("a", **{**EVERY_OPTION, "job_definition": None}).job
    plan = a_plan(a_job("a", options=options, share="flowyml"), a_job("b"))
    assert read_document(StoredPlan, StoredPlan.of(plan).to_json(), "plan.json").plan == plan


def test_a_job_with_an_own_image_has_its_own_kind_of_machine() -> None:
    kinds = [machine_kind("batch", Needs(), image) for image in (None, "a", "b")]
    assert kinds[0] == machine_kind("batch", Needs())
    assert len(set(kinds)) == 3


def a_map(*options: JobOptions) -> ExecutionPlan:
    jobs: list[PlannedJob] = [
        a_job(f"train-{n}", mapped=("train",), options=each) for n, each in enumerate(options)
    ]
    return a_plan(*jobs)


def test_jobs_of_an_array_have_the_same_options() -> None:
    high, low = JobOptions(priority=1), JobOptions(priority=0)
    assert job_arrays(a_map(high, high)) == (("train-0", "train-1"),)
    assert job_arrays(a_map(high, low)) == ()


def test_the_advice_merges_no_groups_with_different_options() -> None:
    times = a_run({"a": None, "b": None}, seconds=60, on="m6i.large")

    def merged(**options: Any) -> bool:
        @step(inputs=["a"], **options)
        def b(a: int) -> None: ...

        graph, _ = read_graph([a_step("a"), b])
        assert graph is not None
        groups = group_steps(graph.steps)

        def plan(groups: Any) -> ExecutionPlan:
            return make_plan("p", Placement("batch"), graph, groups, [SMALL], CATALOG, [times])

        return cheapest_merge(groups, plan(groups), plan) is not None

    assert merged()
    assert not merged(image="another")
