"""A pipeline has the same outputs on this machine, on AWS, and as plain function calls."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flowyml_aws import Pipeline
from flowyml_aws.core.graph import read_graph
from tests.support.effort import examples
from tests.support.pipelines.shaped import Shape, make
from tests.support.rigs import BackendRig

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("end-to-end")]


@pytest.fixture(scope="module")
def rigs(
    tmp_path_factory: pytest.TempPathFactory, emulator_settings: Mapping[str, str]
) -> list[BackendRig]:
    store = f"{emulator_settings['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}"
    return [
        BackendRig("local", tmp_path_factory.mktemp("local") / "project"),
        BackendRig(
            "batch",
            tmp_path_factory.mktemp("batch") / "project",
            {**emulator_settings, "FLOWYML_AWS_STORE": store, "FLOWYML_AWS_POLL_S": "0.3"},
        ),
    ]


@st.composite
def shapes(draw: st.DrawFn, steps: int, groups: int, reach: int, alone: int = 3) -> list[Shape]:
    """Draw steps that read assets of earlier steps, in groups that overlap at their edges.

    Args:
        draw: Hypothesis's function to draw values.
        steps: Number of steps.
        groups: Maximum number of groups.
        reach: Number of preceding steps whose assets a step can read.
        alone: Average number of steps per step without a group.
    """
    drawn: list[Shape] = []
    for number in range(steps):
        group = number * groups // steps + draw(st.sampled_from((0, 0, 0, 1)))
        known = [asset for shape in drawn[-reach:] for asset in shape.outputs]
        drawn.append(
            Shape(
                name=f"step {number}",
                inputs=tuple(draw(st.lists(st.sampled_from(known), max_size=3, unique=True)))
                if known
                else (),
                outputs=tuple(f"asset_{number}_{n}" for n in range(draw(st.integers(1, 2)))),
                group=None
                if not draw(st.integers(0, alone - 1))
                else f"group {min(group, groups - 1)}",
            )
        )
    return draw(st.permutations(drawn)) if steps < 50 else drawn


def as_plain_functions(pipeline: Pipeline) -> dict[str, object]:
    """Return the pipeline's assets when its functions are called one after the other."""
    graph, problems = read_graph(pipeline.steps, ())
    assert graph is not None and not problems
    values: dict[str, object] = {}
    for step in graph.steps:
        returned = step(**{asset: values[asset] for asset in step.inputs})
        values.update(step.split_outputs(returned))
    return values


def has_diamond(step_shapes: Sequence[Shape]) -> bool:
    """Return whether two paths lead from one step to another."""
    producer = {asset: shape.name for shape in step_shapes for asset in shape.outputs}
    ancestors: dict[str, set[str]] = {}  # of each step, with the step itself
    for shape in step_shapes:
        parents = [ancestors[name] for name in {producer[asset] for asset in shape.inputs}]
        if len(set().union(*parents)) < sum(map(len, parents)):
            return True
        ancestors[shape.name] = {shape.name}.union(*parents)
    return False


def has_split_group(step_shapes: Sequence[Shape]) -> bool:
    """Return whether a group needs several jobs, as its steps are interleaved with others."""
    groups = make(step_shapes).step_groups
    return len(groups) > len({group.execution_group for group in groups})


def run_in(rig: BackendRig, step_shapes: Sequence[Shape]) -> dict[str, object]:
    """Run the steps, and return the stored assets by name."""
    with rig.entered():
        rig.pipeline("shaped:make")
        project = sys.modules["__main__"]  # the project's copy, which is in the jobs' bundle
        pipeline = project.make([project.Shape(*shape) for shape in step_shapes])
        result = pipeline.run(backend=rig.backend, progress=False)
        assert result.success, result.summary()
        assert result.step_results.keys() == {shape.name for shape in step_shapes}
        assets = {asset for shape in step_shapes for asset in shape.outputs}
        return {asset: result.outputs[asset] for asset in result.outputs.keys() & assets}


def check_everywhere(rigs: Sequence[BackendRig], step_shapes: Sequence[Shape]) -> None:
    plain = as_plain_functions(make(step_shapes))
    local, on_batch = (run_in(rig, step_shapes) for rig in rigs)
    assert local == on_batch == {asset: plain[asset] for asset in local}
    read = {asset for shape in step_shapes for asset in shape.inputs}
    assert local.keys() >= plain.keys() - read  # assets that no step reads are always stored


@examples(
    2, thorough=20, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(step_shapes=shapes(steps=7, groups=3, reach=5))
def test_a_small_pipeline_has_the_same_outputs_everywhere(
    rigs: list[BackendRig], step_shapes: list[Shape]
) -> None:
    check_everywhere(rigs, step_shapes)


# Pipelines of this size are too slow for more than one example, and for shrinking.
one_example = settings(
    max_examples=1, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)


def large(steps: int, groups: int) -> st.SearchStrategy[list[Shape]]:
    strategy = shapes(steps=steps, groups=groups, reach=12, alone=100)
    return strategy.filter(has_diamond).filter(has_split_group)


@pytest.mark.parametrize(
    ("steps", "groups"), [(50, 10), pytest.param(200, 40, marks=pytest.mark.thorough)]
)
@one_example
@given(data=st.data())
def test_many_steps_in_many_groups_have_the_same_outputs_everywhere(
    rigs: list[BackendRig], steps: int, groups: int, data: st.DataObject
) -> None:
    step_shapes = data.draw(large(steps, groups))
    assert len(step_shapes) == steps
    check_everywhere(rigs, step_shapes)
