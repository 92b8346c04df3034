from __future__ import annotations

import copy
import pickle

import pytest

import flowyml_aws
from flowyml_aws import Context, Pipeline


def test_parameters_are_read_by_key_and_by_attribute() -> None:
    context = Context(rate=0.1, epochs=10)
    assert (context["rate"], context.epochs) == (0.1, 10)
    assert list(context) == ["rate", "epochs"]


def test_an_unknown_parameter_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="'rat'"):
        Context(rate=1).rat  # noqa: B018
    with pytest.raises(KeyError, match="rat"):
        Context(rate=1)["rat"]


def test_context_returns_a_context_as_in_flowyml() -> None:
    assert flowyml_aws.context(rate=0.1, epochs=10) == Context(rate=0.1, epochs=10)


def test_inherit_does_not_change_the_parent() -> None:
    parent = Context(rate=0.1, epochs=10)
    assert parent.inherit(rate=0.2).to_dict() == {"rate": 0.2, "epochs": 10}
    assert parent.to_dict() == {"rate": 0.1, "epochs": 10}


def test_to_dict_returns_a_copy() -> None:
    context = Context(rate=0.1)
    context.to_dict()["rate"] = 5
    assert context.rate == 0.1


def test_update_replaces_and_adds_parameters() -> None:
    context = Context(rate=0.1)
    context.update({"rate": 0.2, "seed": 1})
    assert context == {"rate": 0.2, "seed": 1}


def test_any_name_can_be_a_parameter() -> None:
    assert Context(self=1).inherit(self=2)["self"] == 2


def test_a_context_survives_pickling_and_copying() -> None:
    context = Context(rate=0.1)
    assert pickle.loads(pickle.dumps(context)) == copy.deepcopy(context) == context


def test_a_pipeline_takes_its_context_as_a_dict() -> None:
    assert Pipeline("p", {"rate": 0.1}).context == Context(rate=0.1)
    assert Pipeline("p").context == {}
