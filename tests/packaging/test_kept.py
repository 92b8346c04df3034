"""Comparison of carried values before and after pickling."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.states import BindingReader, State
from flowyml_aws.code.values import UsersEncoder
from flowyml_aws.core.errors import FlowymlError, UnpicklableStepError
from flowyml_aws.packaging.decision import Decision
from flowyml_aws.packaging.kept import changed_by_pickling
from flowyml_aws.packaging.pickling import dump_code, is_picklable
from flowyml_aws.packaging.survey import Survey, SurveyedBinding
from flowyml_aws.packaging.trial import CarriedState, CarriedStates
from tests.support import kinds_of_values

pytestmark = pytest.mark.version_sensitive

VALUE: Any = None
"""Value of the binding that the tests carry."""

BINDING = Binding(__name__, "VALUE")


_numbers = itertools.count()


class Lossy:
    """Does not pickle one of its attributes."""

    def __init__(self, lost: object = 1) -> None:
        self.kept: object = 1
        self.lost = lost

    def __getstate__(self) -> dict[str, object]:
        return {"kept": self.kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.kept, self.lost = state["kept"], 1


class Client:
    """Makes its connection when it is used."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.connection: object = None

    def __reduce__(self) -> Any:
        return Client, (self.rate,)


class OfPackage:
    """An object whose pickle differs each time."""

    __module__ = "flowyml_aws.core.errors"

    def __reduce__(self) -> Any:
        return type(self), (), {"number": next(_numbers)}


def states(value: Any, monkeypatch: pytest.MonkeyPatch) -> CarriedState:
    monkeypatch.setitem(globals(), "VALUE", value)
    own = BindingReader(lambda module: module, "").state(BINDING)
    users = BindingReader(lambda module: module, "", encoder=UsersEncoder).state(BINDING)
    return CarriedState(own.digest, users.digest, own.is_comparable)


def findings(
    value: Any,
    monkeypatch: pytest.MonkeyPatch,
    carry: tuple[str, ...] = (),
    digests: dict[Binding, str] | None = None,
) -> list[FlowymlError | str]:
    """Return what is found about a value after it was pickled and unpickled."""
    loaded: CarriedStates = {BINDING: states(pickle.loads(dump_code(value)[0]), monkeypatch)}
    own = states(value, monkeypatch)
    state = State(own.digest, own.is_comparable)
    surveyed = SurveyedBinding(state, value, by_source=False, is_attribute=False)
    other = Binding(__name__, "other")
    survey = Survey({BINDING: surveyed, other: surveyed}, {})
    decision = Decision(carried={BINDING: value}, digests=digests or {})
    return list(changed_by_pickling(survey, decision, loaded, carry))


def kinds() -> Iterator[Any]:
    for name, value in kinds_of_values.VALUES.items():
        if name.startswith("incomparable"):
            getattr(value, "close", str)()
        elif is_picklable(value):
            yield pytest.param(value, id=name)
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, 1.0]})
    yield pytest.param(frame.set_index("b")[["a", "c"]].T, id="a frame in columns")
    yield pytest.param(frame.iloc[1:], id="a part of a frame")
    yield pytest.param(numpy.arange(12).reshape(3, 4).T[::2, 1:], id="a part of an array")
    yield pytest.param(polars.DataFrame({"a": [1, 2]})[1:], id="a frame of polars")
    yield pytest.param(pyarrow.table({"a": [1, 2]}).slice(1), id="a table of pyarrow")


@pytest.mark.parametrize("value", [*kinds()])
def test_no_kind_of_value_is_refused_for_a_loss(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [f for f in findings(value, monkeypatch) if isinstance(f, FlowymlError)] == []


@pytest.mark.parametrize("value", [Lossy(2), [Lossy(2)], {"a": (Lossy("x"), frozenset())}])
def test_an_attribute_that_pickling_loses_is_refused_by_name(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = findings(value, monkeypatch)
    assert isinstance(found, UnpicklableStepError)
    assert found.what.startswith(f"The steps use 'VALUE', a {type(value).__name__}, which is")
    assert "Pipeline(carry=['VALUE'])" in found.fix


@pytest.mark.parametrize("made", [threading.Lock(), [threading.Lock()], None])
def test_what_a_class_makes_again_may_be_lost(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    value = Client(2)
    value.connection = made
    assert findings(value, monkeypatch) == []


def test_the_user_may_allow_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = findings(Lossy(2), monkeypatch, carry=("VALUE",))
    assert found == f"{BINDING} is different after pickling: jobs get what its class pickles"


def test_objects_of_packages_that_are_pickled_differently_each_time_are_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (found,) = findings([OfPackage()], monkeypatch)
    assert found == f"{BINDING} contains objects that may be different after pickling"


def test_a_value_that_contains_one_that_jobs_evaluate_again_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digests = {Binding(__name__, "other"): "another"}
    (found,) = findings(Lossy(2), monkeypatch, digests=digests)
    assert found == f"{BINDING} contains objects that may be different after pickling"


def test_a_value_that_cannot_be_read_after_pickling_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = states(1, monkeypatch)
    surveyed = SurveyedBinding(State(own.digest), 1, by_source=False, is_attribute=False)
    decision = Decision(carried={BINDING: 1})
    (found,) = changed_by_pickling(Survey({BINDING: surveyed}, {}), decision, {BINDING: None}, ())
    assert found == f"{BINDING} can't be compared after pickling: jobs get what its class pickles"
