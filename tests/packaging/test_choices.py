"""Names for which the user decides whether jobs carry or evaluate them."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.states import State
from flowyml_aws.packaging.choices import Choices
from flowyml_aws.packaging.survey import Survey, SurveyedBinding

USED = SurveyedBinding(State(""), 1, by_source=False, is_attribute=False)
SURVEY = Survey(
    {
        Binding("flowyml_aws.scripts.flow", "RATE"): USED,
        Binding("settings", "FACTOR"): USED,
        Binding("settings", "Model.rate"): USED,
    },
    {("step", "work"): frozenset({Binding("settings", "DELETED"), Binding("settings", ""), 1})},
)


@pytest.fixture(autouse=True)
def script(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script has a global that no step uses."""
    main = ModuleType("__main__")
    vars(main)["UNUSED"] = 1
    monkeypatch.setitem(sys.modules, "__main__", main)


def problems(*carry: str, evaluate: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    found = Choices(carry, evaluate).problems(SURVEY)
    return [(problem.what, problem.fix) for problem in found]


def test_names_that_the_steps_or_the_script_have_are_no_problem() -> None:
    names = ("RATE", "flow.RATE", "FACTOR", "settings.FACTOR", "Model.rate", "settings.Model.rate")
    assert problems(*names, "UNUSED") == problems(evaluate=(*names, "UNUSED")) == []


def test_a_name_that_is_deleted_here_may_be_evaluated_in_jobs() -> None:
    assert problems(evaluate=("DELETED", "settings.DELETED")) == []


def test_an_unknown_name_is_a_problem_with_the_nearest_name() -> None:
    assert problems("RATES", evaluate=("settings.FACTORS",)) == [
        ("carry='RATES': the program has no such global name", "did you mean 'RATE'?"),
        (
            "evaluate='settings.FACTORS': the program has no such global name",
            "did you mean 'settings.FACTOR'?",
        ),
    ]


@pytest.mark.parametrize("name", ["", "__name__", "settings.", "other.RATE", "xyzzy"])
def test_a_name_that_resembles_none_is_to_be_removed(name: str) -> None:
    assert [fix for _, fix in problems(evaluate=(name,))] != []
    assert "no such global name" in problems(name)[0][0]


@pytest.mark.parametrize(
    ("carry", "evaluate"),
    [("RATE", "RATE"), ("RATE", "flow.RATE"), ("flow.RATE", "RATE"), ("UNUSED", "UNUSED")],
)
def test_a_name_in_both_is_a_problem_however_it_is_spelled(carry: str, evaluate: str) -> None:
    assert problems(carry, evaluate=(evaluate,)) == [
        (f"{carry!r} is in carry= and in evaluate=", "remove it from one of them")
    ]


def test_names_of_different_modules_may_be_decided_differently() -> None:
    survey = Survey({Binding(module, "RATE"): USED for module in ("one", "two")}, {})
    assert list(Choices(("one.RATE",), ("two.RATE",)).problems(survey)) == []
