"""The decision for each name: carried, loaded again, or refused."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.states import State
from flowyml_aws.packaging.decision import Decision, decide
from flowyml_aws.packaging.survey import Survey, SurveyedBinding

OPAQUE = State("opaque", is_comparable=False)
MOMENT = State("moment", has_moment=True)


class Model:
    """A class of the user."""


class Descriptor(Model):
    """A descriptor of the user."""

    def __get__(self, instance: object, owner: object) -> int:
        return 1


def function(*_: Any) -> int:
    return 1


def named(name: str) -> Binding:
    return Binding("program", name)


def surveyed(
    value: Any = 1, state: State | None = None, is_attribute: bool = False, **more: Any
) -> SurveyedBinding:
    return SurveyedBinding(state or State("own"), value, False, is_attribute, **more)


def decided(
    bindings: Mapping[str, SurveyedBinding],
    loaded: Mapping[str, State | None],
    **options: Any,
) -> Decision:
    survey = Survey({named(name): own for name, own in bindings.items()}, {})
    return decide(survey, {named(name): state for name, state in loaded.items()}, **options)


def carried(value: Any, own: State, other: State | None, name: str = "x", **more: Any) -> bool:
    """Return whether one value is carried."""
    decision = decided({name: surveyed(value, own, **more)}, {name: other})
    assert decision.problems == ()
    return named(name) in decision.carried


def reasons(decision: Decision) -> list[str]:
    assert all("Pipeline(evaluate=[" in problem.fix for problem in decision.problems)
    return [problem.why.partition(", and ")[2] for problem in decision.problems]


def test_a_value_that_comes_out_the_same_is_loaded_again() -> None:
    value = [1]
    decision = decided({"x": surveyed(value)}, {"x": State("own")})
    assert decision == Decision({}, {named("x"): value}, {named("x"): "own"})


def test_a_value_that_differs_is_carried() -> None:
    decision = decided({"x": surveyed([1])}, {"x": State("other")})
    assert decision == Decision({named("x"): [1]})


def test_a_value_that_is_missing_is_carried() -> None:
    assert carried(1, State("own"), None)


def test_a_date_is_carried_even_if_it_comes_out_the_same() -> None:
    assert carried("today", MOMENT, MOMENT)


def test_a_value_that_is_opaque_only_in_the_job_is_carried() -> None:
    assert carried(1, State("own"), OPAQUE)


@pytest.mark.parametrize("code", [function, Model])
def test_code_that_comes_out_the_same_is_neither_carried_nor_a_value(code: Any) -> None:
    assert decided({"x": surveyed(code)}, {"x": State("own")}) == Decision()


def test_a_function_that_differs_is_carried_with_a_note() -> None:
    decision = decided({"f": surveyed(function)}, {"f": State("other")})
    assert decision.carried == {named("f"): function}
    assert decision.notes == ("program.f differs from its file: jobs use it as it is here",)


def test_a_function_that_its_file_lacks_is_carried_without_a_note() -> None:
    decision = decided({"f": surveyed(function)}, {"f": None})
    assert (decision.carried, decision.notes) == ({named("f"): function}, ())


def test_attributes_of_a_carried_class_are_not_carried_on_their_own() -> None:
    bindings = {
        "Model": surveyed(Model),
        "Model.rate": surveyed(1, is_attribute=True),
        "Model.lock": surveyed(threading.Lock(), OPAQUE, is_attribute=True),
        "Models": surveyed([Model]),
    }
    decision = decided(bindings, dict.fromkeys(bindings))
    assert set(decision.carried) == {named("Model"), named("Models")}
    assert (decision.loaded, decision.problems) == ({}, ())


@pytest.mark.parametrize(
    "value",
    [
        1,
        [Model],
        Model(),
        function,
        re.compile("a"),
        staticmethod(function),
        classmethod(function),
        property(function),
        functools.cached_property(function),
        functools.partialmethod(function, 1),
        functools.lru_cache(function),
        Descriptor(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_class_attribute_that_differs_is_carried(value: Any) -> None:
    assert carried(value, State("own"), State("other"), "Model.x", is_attribute=True)


class _OfPackage:
    """A descriptor that a package sets in the classes that it manages."""

    __module__ = "flowyml_aws.core.errors"

    def __get__(self, instance: object, owner: object) -> int:
        return 1


def test_a_descriptor_of_a_package_is_left_to_the_package() -> None:
    value, own = _OfPackage(), State("own")
    assert not carried(value, own, State("other"), "Model.x", is_attribute=True)
    assert carried(value, own, None, "Model.x", is_attribute=True)
    assert carried(value, own, State("other"), "x")


def test_an_opaque_value_that_is_made_the_same_way_is_loaded_again() -> None:
    lock = threading.Lock()
    decision = decided({"x": surveyed(lock, OPAQUE)}, {"x": OPAQUE})
    assert decision == Decision({}, {named("x"): lock})


def test_an_opaque_value_with_different_parts_is_refused() -> None:
    for value in (Model(), [threading.Lock(), 1], threading.Lock()):
        decision = decided({"x": surveyed(value, OPAQUE)}, {"x": State("other")})
        assert reasons(decision) == ["it or a part of it differs when a job loads the program"]
        assert decision.problems[0].what == (
            f"The steps use 'x', a {type(value).__name__}, which jobs can't have"
        )
        assert (decision.carried, decision.loaded) == ({}, {})


def test_an_opaque_value_that_is_missing_is_refused() -> None:
    decision = decided({"x": surveyed(threading.Lock(), OPAQUE)}, {"x": None})
    assert reasons(decision) == ["it is not defined when a job loads the program"]


def test_an_opaque_value_that_is_made_with_a_value_that_differs_is_refused() -> None:
    bindings = {
        "x": surveyed(threading.Lock(), OPAQUE, uses=frozenset({named("same"), named("url")})),
        "same": surveyed(),
        "url": surveyed("a"),
    }
    loaded = {"x": OPAQUE, "same": State("own"), "url": State("other")}
    decision = decided(bindings, loaded)
    assert reasons(decision) == [
        "it was made with 'url', which differs when a job loads the program"
    ]
    assert decided(bindings, {**loaded, "url": State("own")}).problems == ()


def test_an_opaque_value_that_is_assigned_in_an_unusual_place_is_refused() -> None:
    decision = decided(
        {"x": surveyed(threading.Lock(), OPAQUE, assigned="connect() assigns it")}, {"x": OPAQUE}
    )
    assert reasons(decision) == ["connect() assigns it"]


def test_an_opaque_class_attribute_is_loaded_again_unless_it_is_of_another_kind() -> None:
    own = {"Model.x": surveyed(threading.Lock(), OPAQUE, is_attribute=True)}
    for other in (OPAQUE, None):  # packages add attributes when a class is used
        decision = decided(own, {"Model.x": other})
        assert (list(decision.loaded), decision.problems) == ([named("Model.x")], ())
    assert reasons(decided(own, {"Model.x": State("other")})) == [
        "it or a part of it differs when a job loads the program"
    ]


def test_every_refused_value_has_its_own_problem() -> None:
    bindings = {name: surveyed(threading.Lock(), OPAQUE) for name in ("b", "a", "c")}
    decision = decided(bindings, {"a": None, "b": None, "c": OPAQUE})
    assert [re.findall("'(.)'", problem.what) for problem in decision.problems] == [["a"], ["b"]]


@pytest.mark.parametrize("name", ["x", "program.x"])
def test_a_value_is_carried_on_request(name: str) -> None:
    bindings = {"x": surveyed(), "y": surveyed()}
    loaded = {"x": State("own"), "y": State("own")}
    decision = decided(bindings, loaded, carry=[name])
    assert (set(decision.carried), set(decision.loaded)) == ({named("x")}, {named("y")})


@pytest.mark.parametrize("name", ["x", "program.x"])
@pytest.mark.parametrize("own", [State("own"), OPAQUE, MOMENT])
def test_a_value_is_evaluated_again_on_request_even_if_it_differs(name: str, own: State) -> None:
    decision = decided({"x": surveyed(1, own)}, {"x": State("other")}, evaluate=[name])
    assert decision == Decision({}, {named("x"): 1}, {named("x"): "other"})


def test_a_request_names_the_module_if_it_contains_a_dot() -> None:
    decision = decided({"x": surveyed()}, {"x": State("own")}, carry=["other.x"])
    assert decision.carried == {}


def test_a_value_that_does_not_exist_in_jobs_cannot_be_evaluated_there() -> None:
    decision = decided({"x": surveyed()}, {"x": None}, evaluate=["x"])
    assert decision.carried == {named("x"): 1}


def test_the_decision_for_some_names_is_a_part_of_it() -> None:
    bindings = {name: surveyed(name) for name in "abcd"}
    loaded = {"a": State("own"), "b": State("own"), "c": None, "d": None}
    part = decided(bindings, loaded).only([named("a"), named("c")])
    assert part == Decision({named("c"): "c"}, {named("a"): "a"}, {named("a"): "own"})


def test_the_refusals_and_notes_for_some_names_are_a_part_of_all() -> None:
    bindings = {name: surveyed(threading.Lock(), OPAQUE) for name in "ab"}
    functions = {name: surveyed(function) for name in "fg"}
    loaded = {"a": None, "b": None, "f": State("other"), "g": State("other")}
    part = decided({**bindings, **functions}, loaded).only([named("a"), named("g")])
    assert [problem.what for problem in part.problems] == [
        "The steps use 'a', a lock, which jobs can't have"
    ]
    assert part.notes == ("program.g differs from its file: jobs use it as it is here",)


def test_a_name_that_only_the_loaded_program_has_is_deleted_for_the_steps_that_use_it() -> None:
    loaded = {name: State("own") for name in ("x", "gone", "Model.gone", "Model.other")}
    decision = decided({"x": surveyed()}, loaded, evaluate=["Model.other"])
    assert decision.deleted == {named("gone"), named("Model.gone")}
    for used, deleted in (
        ({"x"}, set()),
        ({"gone"}, {"gone"}),
        ({""}, {"gone"}),  # all names of the module
        ({"Model"}, {"Model.gone"}),
    ):
        part = decision.only([named(name) for name in used])
        assert part.deleted == {named(name) for name in deleted}


def test_values_that_are_compared_by_source_are_known_to_the_job() -> None:
    by_source = replace(surveyed(), by_source=True)
    decision = decided({"x": by_source, "y": surveyed()}, {"x": State("own"), "y": State("own")})
    assert decision.by_source == {named("x")}
    assert decision.only([named("y")]).by_source == set()


def test_a_class_that_differs_is_refused_as_objects_of_jobs_would_have_another_class() -> None:
    decision = decided({"Model": surveyed(Model)}, {"Model": State("other")})
    assert [problem.what for problem in decision.problems] == [
        "Class 'Model' is different when a job loads the program"
    ]
    assert decision.carried == {}


def test_a_class_that_differs_is_evaluated_again_on_request() -> None:
    decision = decided({"Model": surveyed(Model)}, {"Model": State("other")}, evaluate=["Model"])
    assert (decision.carried, decision.problems) == ({}, ())


def test_a_name_that_stands_for_another_class_than_in_the_job_is_carried() -> None:
    decision = decided({"Best": surveyed(Model)}, {"Best": State("other")})
    assert decision == Decision({named("Best"): Model})


def test_code_that_contains_a_date_is_not_said_to_differ() -> None:
    assert decided({"f": surveyed(function, MOMENT)}, {"f": MOMENT}).notes == ()
    decision = decided({"Model": surveyed(Model, MOMENT)}, {"Model": MOMENT})
    assert (decision.carried, decision.problems) == ({}, ())
