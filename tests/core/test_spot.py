from __future__ import annotations

import pytest

from flowyml_aws import NodeAffinity, Pipeline, ResourceRequirements, step
from flowyml_aws.core.errors import AffinityConflictError, InvalidPipelineError
from flowyml_aws.core.spot import CAPACITY_LABEL, SpotRule, with_spot
from flowyml_aws.core.step import Step


def a_step(spot: SpotRule | None, resources: ResourceRequirements | None = None) -> Step:
    return step(name="a", spot=spot, resources=resources)(lambda: 1)


def affinity(declared: Step) -> NodeAffinity:
    requirements = declared.requirements()
    assert requirements is not None and requirements.node_affinity is not None
    return requirements.node_affinity


def test_a_step_that_always_uses_spot_capacity_requires_it() -> None:
    assert affinity(a_step("always")).required == {CAPACITY_LABEL: "spot"}


def test_a_step_that_never_uses_spot_capacity_requires_capacity_on_demand() -> None:
    assert affinity(a_step("never")).required == {CAPACITY_LABEL: "on-demand"}


def test_a_step_that_prefers_spot_capacity_also_runs_on_demand() -> None:
    preferring = affinity(a_step("prefer"))
    assert (preferring.required, preferring.preferred) == ({}, {CAPACITY_LABEL: "spot"})


def test_other_resources_remain() -> None:
    requirements = a_step("always", ResourceRequirements(memory="8Gi")).requirements()
    assert requirements is not None
    assert requirements.memory == "8Gi"


def test_without_a_rule_nothing_is_required() -> None:
    assert a_step(None).requirements() is None


def test_a_rule_may_not_contradict_the_resources() -> None:
    resources = ResourceRequirements(
        node_affinity=NodeAffinity(required={CAPACITY_LABEL: "on-demand"})
    )
    with pytest.raises(AffinityConflictError):
        with_spot(resources, "always")
    (problem,) = a_step("always", resources).problems()
    assert isinstance(problem, AffinityConflictError)
    assert "Step 'a'" in problem.what


def test_a_mistyped_rule_is_reported_for_a_step_and_for_a_run() -> None:
    pipeline = Pipeline("p").add_step(a_step("both"))  # type: ignore[arg-type]
    with pytest.raises(InvalidPipelineError) as error:
        pipeline.run(spot="nevr", progress=False)  # type: ignore[arg-type]
    assert "spot='both'" in str(error.value)
    assert "spot='nevr'" in str(error.value)
    assert "never" in str(error.value)
