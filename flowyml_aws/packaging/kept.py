"""Comparison of carried values with what jobs get: pickling must keep what the steps use."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from flowyml_aws.code.bindings import Binding
from flowyml_aws.core.errors import FlowymlError, UnpicklableStepError
from flowyml_aws.packaging.decision import Decision, is_named
from flowyml_aws.packaging.survey import Survey
from flowyml_aws.packaging.trial import CarriedStates

__all__ = ["changed_by_pickling"]


def changed_by_pickling(
    survey: Survey, decision: Decision, loaded: CarriedStates, carry: Collection[str]
) -> Iterator[FlowymlError | str]:
    """Yield an error, or a note, for each carried value that is another one in the job.

    Args:
        survey: The names with the client's values.
        decision: Decision for the names of the job.
        loaded: States of the carried values after the job's payload was loaded.
        carry: Names whose values the user wants to carry, as they are pickled.
    """
    # A carried value may contain values that each job evaluates again by the user's wish.
    has_own_parts = any(
        digest != survey.bindings[binding].state.digest
        for binding, digest in decision.digests.items()
    )
    for binding, value in decision.carried.items():
        own, other = survey.bindings[binding].state, loaded.get(binding)
        if other is None or not (own.is_comparable and other.is_comparable):
            yield f"{binding} can't be compared after pickling: jobs get what its class pickles"
        elif own.digest == other.digest:
            continue
        elif is_named(binding, carry):
            yield f"{binding} is different after pickling: jobs get what its class pickles"
        elif has_own_parts or survey.users_digest(binding) == other.users_digest:
            yield f"{binding} contains objects that may be different after pickling"
        else:
            yield _refusal(binding, value)


def _refusal(binding: Binding, value: Any) -> UnpicklableStepError:
    return UnpicklableStepError(
        what=f"The steps use {binding.name!r}, a {type(value).__qualname__}, which is different "
        "after pickling",
        why="its value is only in this process, and its class (or that of a part) does not pickle "
        "or restore all of its attributes",
        fix="pickle them in `__getstate__` or `__reduce__`; or, if the steps do not use what is "
        f"lost, allow it with Pipeline(carry=[{binding.name!r}])",
    )
