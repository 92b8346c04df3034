"""A pipeline gives the same everywhere: on this machine, on AWS, and as plain functions."""

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
from tests.support.places import Place

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("end-to-end")]


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, emulator_settings: Mapping[str, str]
) -> list[Place]:
    store = f"{emulator_settings['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}"
    return [
        Place("local", tmp_path_factory.mktemp("local") / "project"),
        Place(
            "batch",
            tmp_path_factory.mktemp("batch") / "project",
            {**emulator_settings, "FLOWYML_AWS_STORE": store, "FLOWYML_AWS_POLL_S": "0.3"},
        ),
    ]


@st.composite
def shapes(draw: st.DrawFn, steps: int, groups: int, reach: int, alone: int = 3) -> list[Shape]:
    """Steps that read what earlier ones produce, in groups that overlap at their edges.

    Args:
        draw: Hypothesis's.
        steps: How many.
        groups: How many, at most.
        reach: How far back a step reads.
        alone: One step in as many has no group.
    """
    made: list[Shape] = []
    for at in range(steps):
        group = at * groups // steps + draw(st.sampled_from((0, 0, 0, 1)))
        known = [asset for shape in made[-reach:] for asset in shape.outputs]
        made.append(
            Shape(
                name=f"step {at}",
                inputs=tuple(draw(st.lists(st.sampled_from(known), max_size=3, unique=True)))
                if known
                else (),
                outputs=tuple(f"asset_{at}_{n}" for n in range(draw(st.integers(1, 2)))),
                group=None
                if not draw(st.integers(0, alone - 1))
                else f"group {min(group, groups - 1)}",
            )
        )
    return draw(st.permutations(made)) if steps < 50 else made


def as_plain_functions(pipeline: Pipeline) -> dict[str, object]:
    """What the pipeline gives when its functions are called one after the other."""
    graph, problems = read_graph(pipeline.steps, ())
    assert graph is not None and not problems
    values: dict[str, object] = {}
    for step in graph.steps:
        returned = step(**{asset: values[asset] for asset in step.inputs})
        values.update(step.split_outputs(returned))
    return values


def has_diamond(made: Sequence[Shape]) -> bool:
    """Whether two ways lead from one step to another."""
    producer = {asset: shape.name for shape in made for asset in shape.outputs}
    before: dict[str, set[str]] = {}  # each step, and all that it depends on
    for shape in made:
        parents = [before[name] for name in {producer[asset] for asset in shape.inputs}]
        if len(set().union(*parents)) < sum(map(len, parents)):
            return True
        before[shape.name] = {shape.name}.union(*parents)
    return False


def has_split_group(made: Sequence[Shape]) -> bool:
    """Whether a group's steps are interleaved with others', so that it takes several jobs."""
    groups = make(made).step_groups
    return len(groups) > len({group.execution_group for group in groups})


def run_in(place: Place, made: Sequence[Shape]) -> dict[str, object]:
    """The stored assets after a run, by name."""
    with place.entered():
        place.pipeline("shaped:make")
        project = sys.modules["shaped"]  # the project's own copy, which travels to the jobs
        pipeline = project.make([project.Shape(*shape) for shape in made])
        result = pipeline.run(backend=place.backend, progress=False)
        assert result.success, result.summary()
        assert result.step_results.keys() == {shape.name for shape in made}
        assets = {asset for shape in made for asset in shape.outputs}
        return {asset: result.outputs[asset] for asset in result.outputs.keys() & assets}


def check_everywhere(places: Sequence[Place], made: Sequence[Shape]) -> None:
    plain = as_plain_functions(make(made))
    here, on_batch = (run_in(place, made) for place in places)
    assert here == on_batch == {asset: plain[asset] for asset in here}
    read = {asset for shape in made for asset in shape.inputs}
    assert here.keys() >= plain.keys() - read  # at least what no step reads is kept


@examples(
    2, thorough=20, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(made=shapes(steps=7, groups=3, reach=5))
def test_any_small_pipeline_gives_the_same_everywhere(
    places: list[Place], made: list[Shape]
) -> None:
    check_everywhere(places, made)


# A pipeline of this size takes too long to try more than one, and to shrink it.
one = settings(
    max_examples=1, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)


def large(steps: int, groups: int) -> st.SearchStrategy[list[Shape]]:
    drawn = shapes(steps=steps, groups=groups, reach=12, alone=100)
    return drawn.filter(has_diamond).filter(has_split_group)


@pytest.mark.parametrize(
    ("steps", "groups"), [(50, 10), pytest.param(200, 40, marks=pytest.mark.thorough)]
)
@one
@given(data=st.data())
def test_many_steps_in_many_groups_give_the_same_everywhere(
    places: list[Place], steps: int, groups: int, data: st.DataObject
) -> None:
    made = data.draw(large(steps, groups))
    assert len(made) == steps
    check_everywhere(places, made)
