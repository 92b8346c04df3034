"""Whatever the shape of a pipeline, every place gives what its functions give when called."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowyml_aws import Pipeline, step
from flowyml_aws.core.step import Step
from tests.support.places import Place, a_place


class Shape(NamedTuple):
    """A pipeline to be.

    Attributes:
        reads: For each step, the earlier ones that it reads.
        groups: For each step, its execution group.
        declared: The order in which the steps are added.
    """

    reads: tuple[tuple[int, ...], ...]
    groups: tuple[str | None, ...]
    declared: tuple[int, ...]


def a_step(number: int, reads: tuple[int, ...], group: str | None) -> Step:
    @step(
        name=f"step {number}",
        inputs=[f"asset/{parent}" for parent in reads],
        outputs=[f"asset/{number}"],
        execution_group=group,
    )
    def combine(a: int = 0, b: int = 0, c: int = 0, *, seed: int) -> int:
        return zlib.crc32(repr((number, seed, a, b, c)).encode())

    return combine


def steps_of(shape: Shape) -> list[Step]:
    return [
        a_step(number, reads, group)
        for number, (reads, group) in enumerate(zip(shape.reads, shape.groups, strict=True))
    ]


def called(shape: Shape, steps: list[Step], seed: int) -> dict[str, int]:
    """Every asset, by calling the functions in order."""
    assets: dict[int, int] = {}
    for number, made in enumerate(steps):
        assets[number] = made(*(assets[parent] for parent in shape.reads[number]), seed=seed)
    return {f"asset/{number}": value for number, value in assets.items()}


def results_of(shape: Shape) -> set[str]:
    """Assets that nobody reads: a run always keeps them."""
    read = {parent for reads in shape.reads for parent in reads}
    return {f"asset/{number}" for number in range(len(shape.reads)) if number not in read}


@st.composite
def shapes(draw: st.DrawFn, steps: int = 8, groups: int = 3, spread: int = 8) -> Shape:
    """Random pipelines; a step's group lies near its place, so that groups interleave."""
    count = draw(st.integers(1, steps))
    reads: list[tuple[int, ...]] = []
    names: list[str | None] = []
    for number in range(count):
        parents = st.integers(max(0, number - spread), max(0, number - 1))
        reads.append(tuple(draw(st.lists(parents, max_size=3, unique=True))) if number else ())
        own = number * groups // count
        near = st.integers(max(0, own - 1), own).map(lambda group: f"group {group}")
        names.append(draw(st.one_of(st.none(), near) if steps < 50 else near))
    declared = draw(st.permutations(range(count)))
    return Shape(tuple(reads), tuple(names), tuple(declared))


def outputs_at(place: Place, shape: Shape, seed: int) -> Mapping[str, int]:
    steps = steps_of(shape)
    pipeline = Pipeline("random").add_steps(steps[number] for number in shape.declared)
    with place.entered() as patch:
        # These steps' project is this repository.
        patch.setenv("FLOWYML_AWS_LOCAL_STORE", str(place.folder / "store"))
        result = pipeline.run(backend=place.backend, context={"seed": seed}, progress=False)
        assert result.success, result.summary()
        return {asset: result[asset] for asset in results_of(shape)}


def expected(shape: Shape, seed: int) -> Mapping[str, int]:
    everything = called(shape, steps_of(shape), seed)
    return {asset: everything[asset] for asset in results_of(shape)}


@pytest.fixture(
    params=["local", pytest.param("batch", marks=pytest.mark.integration)], scope="module"
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return a_place(request.param, tmp_path_factory.mktemp("random"), request)


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(shape=shapes(), seed=st.integers(0, 9))
def test_a_small_pipeline_gives_what_its_functions_give(
    place: Place, shape: Shape, seed: int
) -> None:
    assert outputs_at(place, shape, seed) == expected(shape, seed)


@pytest.mark.integration
@settings(
    max_examples=1,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(shape=shapes(steps=200, groups=40, spread=12).filter(lambda s: len(s.reads) > 150))
def test_two_hundred_steps_in_forty_groups_give_what_their_functions_give(
    place: Place, shape: Shape
) -> None:
    assert outputs_at(place, shape, seed=1) == expected(shape, seed=1)
