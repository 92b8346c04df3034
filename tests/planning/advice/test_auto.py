"""Resources of steps with `resources="auto"`: their amounts and the origin of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest

from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.auto_resources import Auto, DeclaredResources
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import build_pipeline
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements
from flowyml_aws.core.step import Step, step
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.planning.advice.auto import resolve_auto
from flowyml_aws.planning.history import RunTimes
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.needs import Needs, needs_of
from flowyml_aws.planning.placement import Placement
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.planning.targets import offline_targets
from tests.support.histories import a_growth, a_run, peaks, runs_of

CATALOG = Catalog(
    "r",
    date(2026, 1, 1),
    date(2026, 1, 1),
    (
        InstanceType("c1.small", 2, 4096, 4096, price_usd_hour=0.1),
        InstanceType("c1.large", 16, 65536, 65536, price_usd_hour=1.0),
    ),
)


def a_step(resources: DeclaredResources, name: str = "s", group: str | None = None) -> Step:
    return step(name=name, resources=resources, execution_group=group)(lambda: 1)


def planned(
    steps: Step | Sequence[Step], history: Sequence[RunTimes] = (), backend: str = "batch"
) -> PlannedJob:
    """Return the only job of the steps' plan."""
    steps = [steps] if isinstance(steps, Step) else list(steps)
    built, problems = build_pipeline(bind_steps(steps, (), {}), ())
    assert built is not None, problems
    targets = offline_targets(CATALOG) if backend != "local" else ()
    placement = Placement.of(backend)
    plan = make_plan("p", placement, built.graph, built.groups, targets, CATALOG, history)
    (job,) = plan.jobs
    return job


def amounts(job: PlannedJob) -> tuple[int, int]:
    return job.needs.vcpus, job.needs.memory_mib


def test_before_any_run_a_step_gets_the_default() -> None:
    job = planned(a_step("auto"))
    assert amounts(job) == (2, 8192)
    assert job.origins == {
        "vcpus": "default, until 3 runs have measured it; 0 runs so far",
        "memory_mib": "default, until 3 runs have measured it; 0 runs so far",
    }


def test_before_any_run_a_declared_minimum_replaces_the_default() -> None:
    job = planned(a_step(Auto(minimum=ResourceRequirements(memory="3Gi"))))
    assert amounts(job) == (2, 3072)
    assert job.origins["memory_mib"] == "declared"


def test_a_minimum_can_be_a_dict() -> None:
    assert planned(a_step(Auto(minimum={"cpu": "500m", "memory": "1Gi"}))).needs == Needs(1, 1024)


def test_two_runs_raise_the_default_but_do_not_lower_it() -> None:
    assert amounts(planned(a_step("auto"), runs_of("s", *[peaks(100, 0.5)] * 2))) == (2, 8192)
    assert amounts(planned(a_step("auto"), runs_of("s", *[peaks(10240, 7.5)] * 2))) == (8, 12288)


def test_three_runs_decide_both_amounts() -> None:
    job = planned(a_step("auto"), runs_of("s", peaks(1000, 0.5), peaks(2000, 1.0), peaks(1500, 3)))
    assert amounts(job) == (3, 2560)
    assert job.origins == {
        "vcpus": "measured in 3 runs, at most 3 cores",
        "memory_mib": "measured in 3 runs, at most 2,000 MiB, plus 20%",
    }
    assert job.declared is None


def test_a_declared_minimum_is_never_undercut() -> None:
    minimum = ResourceRequirements(cpu="4", memory="16Gi", storage="50Gi")
    job = planned(a_step(Auto(minimum)), runs_of("s", *[peaks(100, 0.1)] * 5))
    assert job.needs == Needs(4, 16384, 50)
    assert set(job.origins.values()) == {"declared"}


def test_a_run_that_used_up_its_memory_raises_it() -> None:
    growth = a_growth(Needs(2, 8192), Needs(2, 16385))
    job = planned(a_step("auto"), [a_run({}, {"s": growth}, run_id="p-1")])
    assert amounts(job) == (2, 16385)
    assert job.origins["memory_mib"] == "raised after run p-1 used up less"
    assert job.declared is None  # the next run starts with it


def test_a_margin_that_no_machine_has_is_left_out() -> None:
    job = planned(a_step("auto"), runs_of("s", *[peaks(60_000)] * 3))
    assert job.instance_type == "c1.large"
    assert job.origins["memory_mib"] == "measured in 3 runs, at most 60,000 MiB, plus 0%"


def test_a_use_that_no_machine_has_is_an_error() -> None:
    with pytest.raises(InvalidPipelineError, match="Step 's'"):
        planned(a_step("auto"), runs_of("s", *[peaks(90_000)] * 3))


def test_a_group_gets_the_maximum_with_its_origin() -> None:
    steps = [
        a_step("auto", "small", "g"),
        a_step(ResourceRequirements(cpu="8", memory="1Gi"), "fixed", "g"),
        a_step(Auto(), "large", "g"),
    ]
    job = planned(steps, [a_run({"small": peaks(500), "large": peaks(4000)})] * 3)
    assert amounts(job) == (8, 4864)
    assert job.origins == {
        "vcpus": "declared",
        "memory_mib": "measured in 3 runs, at most 4,000 MiB, plus 20%",
    }


def test_a_group_without_auto_has_no_origins() -> None:
    assert planned(a_step({"cpu": 2}), runs_of("s", *[peaks()] * 3)).origins == {}


def test_the_gpu_of_a_minimum_remains_even_if_it_was_idle() -> None:
    idle = peaks(gpu_percent=(0.0,), gpu_memory_mib=(10,))
    minimum = ResourceRequirements(gpu=GPUConfig("nvidia-a100-80gb"))
    (group,) = group_steps([a_step(Auto(minimum))])
    resolved = resolve_auto(group, runs_of("s", idle, idle, idle))
    needs = needs_of(resolved.group.aggregated_resources)
    assert (needs.gpu_model, needs.gpu_count, needs.gpu_memory_gb) == ("a100", 1, 80)
    assert resolved.origins["gpu_count"] == resolved.origins["gpu_memory_gb"] == "declared"


def test_this_machine_uses_the_same_history() -> None:
    job = planned(a_step("auto"), runs_of("s", *[peaks(1000)] * 3), backend="local")
    assert amounts(job) == (1, 1280)
