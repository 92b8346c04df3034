"""Identities of a pipeline's steps, and the notes of a plan on them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flowyml_aws import Step, step
from flowyml_aws.caching.cache_on import AdditionReader
from flowyml_aws.caching.entries import CacheEntry, python_version
from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.caching.lookup import Identities, KeyFacts, identities_of
from flowyml_aws.client.key_notes import key_notes
from flowyml_aws.core.distributions import Difference, VersionReader
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.graph import read_graph
from tests.support.caching_machine import Program, temporary_machine
from tests.support.plans import a_job, a_plan

pydantic = pytest.importorskip("pydantic")
BASE = {"scale": 2}


def iter_of(text: str) -> Iterator[str]:
    yield from text


def scaled(x: int) -> int:
    return x * BASE["scale"]


def make_steps(*groups: str | None) -> list[Step]:
    """Return the steps `a`, `b` (reads a) and `c` (reads a and b), in these groups."""
    return [
        step(name="a", outputs=["a"], execution_group=groups[0])(lambda: scaled(1)),
        step(name="b", inputs=["a"], outputs=["b"], execution_group=groups[1])(scaled),
        step(name="c", inputs=["a", "b"], outputs=["c"], execution_group=groups[2])(
            lambda a, b, rate: scaled(a) + b * rate
        ),
    ]


def identities(steps: Sequence[Step], facts: KeyFacts | None = None, **context: Any) -> Identities:
    graph, problems = read_graph(steps, ["model"], context)
    assert graph is not None and not problems
    return identities_of("p", graph, context, Fingerprinter(), facts or KeyFacts())


def digests(steps: Sequence[Step], facts: KeyFacts | None = None) -> dict[str, str]:
    known = identities(steps, facts, rate=3).known
    return {name: identity.digest for name, identity in known.items()}


@pytest.mark.parametrize("groups", [("g", "g", "g"), ("g", None, "g"), ("g", "h", "h")])
def test_groups_do_not_change_identities(groups: tuple[str | None, ...]) -> None:
    assert digests(make_steps(*groups)) == digests(make_steps(None, None, None))


def test_the_order_of_declaration_does_not_change_identities() -> None:
    steps = make_steps(None, None, None)
    orders = [digests(order) for order in itertools.permutations(steps)]
    assert orders == [digests(steps)] * 6


def test_the_place_does_not_change_identities_with_equal_versions() -> None:
    @step(outputs=["a"])
    def a() -> Any:
        return pydantic.BaseModel

    def facts(**options: Any) -> KeyFacts:
        return KeyFacts(versions={"a": VersionReader(**options)})

    pins = {"pydantic": pydantic.VERSION}
    here = digests([a], facts())
    assert here == digests([a], facts(pinned=pins)) == digests([a], facts(is_here=False))
    assert here == digests([a], facts(pinned=pins, is_here=False))
    assert here != digests([a], facts(pinned={"pydantic": "1.0"}, is_here=False))
    assert here == digests([a], facts(pinned={"pydantic": "1.0"}))
    assert here != digests([a], facts(rule="none"))


def test_packages_of_steps_upstream_and_of_inputs_count() -> None:
    make = step(name="make", outputs=["made"])(lambda: pydantic.create_model("M"))
    read = step(name="read", inputs=["made"], outputs=["read"])(lambda made: made.x)
    use = step(name="use", inputs=["model"], outputs=["used"])(lambda model: model.x)
    versions = {name: VersionReader() for name in ("make", "read", "use")}
    value = pydantic.TypeAdapter(int)
    found = identities([make, read, use], KeyFacts(versions=versions, inputs={"model": value}))
    assert {name: list(i.versions) for name, i in found.known.items()} == {
        name: ["pydantic"] for name in versions
    }


def test_a_step_with_an_unknown_value_has_no_identity() -> None:
    steps = make_steps(None, None, None)
    found = identities(steps, rate=(n for n in [1]))
    assert found.known.keys() == {"a", "b"}
    assert found.incomplete == {"c": ("context value 'rate' (generator)",)}


def test_all_additions_that_cannot_be_read_are_reported() -> None:
    steps = [step(name=name, outputs=[name], cache_on=iter_of("a"))(scaled) for name in ("a", "b")]
    with pytest.raises(InvalidPipelineError) as caught:
        identities(steps, KeyFacts(additions=AdditionReader({})), x=1)
    assert len(caught.value.problems) == 2


def test_a_plan_has_notes_on_incomplete_keys_and_other_versions() -> None:
    found = Identities(
        known={},
        incomplete={"a": ("x (generator)", "y (generator)"), "b": ("x (generator)",)},
        differences={"c": (Difference("numpy", "1.0", "2.0"),), "d": ()},
    )
    remote, here = (
        a_plan(a_job("c").model_copy(update={"backend": name})) for name in ("batch", "local")
    )
    assert list(key_notes(remote, found, "uv.lock")) == [
        "step 'a' is executed in every run: x (generator) and 1 more can't be compared with "
        "earlier runs",
        "step 'b' is executed in every run: x (generator) can't be compared with earlier runs",
        "jobs on batch use numpy 2.0 (uv.lock); this machine has 1.0",
    ]
    assert list(key_notes(here, found, "uv.lock"))[2:] == [
        "jobs on this machine use numpy 1.0; the project requires 2.0 (uv.lock)"
    ]


@pytest.mark.parametrize(("python", "serves"), [(None, True), ("3.12", True), ("3.11", False)])
def test_a_pickled_entry_serves_one_minor_version_of_python(
    python: str | None, serves: bool
) -> None:
    entry = CacheEntry(
        key="k", pipeline="p", step="s", run_id="r", created_at=0, assets={}, python=python
    )
    assert entry.serves("", "3.12") is serves


def test_only_the_entries_of_pickled_values_name_their_version_of_python() -> None:
    source = (
        "from flowyml_aws import Pipeline, step\n"
        "@step(outputs=['safe'])\ndef safe():\n    return [1]\n"
        "@step(outputs=['pickled'])\ndef pickled():\n    return lambda: 1\n"
    )
    with temporary_machine(note=print) as machine:
        machine.run(Program(source))
        entries = [
            json.loads(machine.store.get(f"cache/{name}"))
            for name in machine.store.children("cache/")
        ]
    versions = {entry["step"]: entry["python"] for entry in entries}
    assert versions == {"safe": None, "pickled": python_version()}
