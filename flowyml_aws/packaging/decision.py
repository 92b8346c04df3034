"""Decision for each name that steps use: loaded again in the job, or carried from the client.

A value that comes out the same when the program is loaded as a job loads it is loaded again in the
job. A value that differs is carried. A value that cannot be compared (a lock, a connection) is
loaded again only if that is safe; otherwise it is refused by name.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, TypeVar

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.ownership import is_decorated, users_code
from flowyml_aws.code.states import State
from flowyml_aws.core.errors import FlowymlError, PipelineFileError, UnpicklableStepError
from flowyml_aws.core.modules import is_users_module
from flowyml_aws.packaging.survey import Survey, SurveyedBinding

__all__ = ["Decision", "decide", "is_named"]

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Decision:
    """The names that a job carries, and those that it loads again.

    Attributes:
        carried: Values of the client, by name.
        loaded: Values (not code) that the job loads again, as they are on the client, by name.
        digests: Digests of those loaded values that can be compared.
        by_source: Those of these values whose functions are compared by their source.
        deleted: Names that the loaded program has, but not the client.
        refusals: An error for each value that can be neither carried nor loaded safely, by name.
        remarks: A note for the plan on each function that differs from its file, by name.
    """

    carried: Mapping[Binding, Any] = field(default_factory=dict)
    loaded: Mapping[Binding, Any] = field(default_factory=dict)
    digests: Mapping[Binding, str] = field(default_factory=dict)
    by_source: frozenset[Binding] = frozenset()
    deleted: frozenset[Binding] = frozenset()
    refusals: Mapping[Binding, FlowymlError] = field(default_factory=dict)
    remarks: Mapping[Binding, str] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[FlowymlError, ...]:
        """All errors."""
        return tuple(self.refusals.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes."""
        return tuple(self.remarks.values())

    def only(self, bindings: Collection[Binding]) -> Decision:
        """Return the decision for some of the names. A name without its last part means all."""
        ordered = sorted(bindings)  # equal programs have equal payloads

        def part(values: Mapping[Binding, Value]) -> dict[Binding, Value]:
            return {binding: values[binding] for binding in ordered if binding in values}

        return Decision(
            part(self.carried),
            part(self.loaded),
            part(self.digests),
            self.by_source.intersection(ordered),
            frozenset(b for b in self.deleted if b in bindings or _owner(b) in bindings),
            part(self.refusals),
            part(self.remarks),
        )


def decide(
    survey: Survey,
    loaded: Mapping[Binding, State | None],
    carry: Collection[str] = (),
    evaluate: Collection[str] = (),
) -> Decision:
    """Decide for each name that the steps use.

    Args:
        survey: The names with the client's values.
        loaded: States in the process that loaded the program as a job does; None if missing.
            Other names than those of the survey are missing on the client.
        carry: Names whose values the user wants to carry.
        evaluate: Names that the user wants to evaluate again in each job.
    """
    differing = {
        binding
        for binding, own in survey.bindings.items()
        if (other := loaded.get(binding)) is None or other.digest != own.state.digest
    }
    carried: dict[Binding, Any] = {}
    kept: dict[Binding, Any] = {}
    digests: dict[Binding, str] = {}
    refusals: dict[Binding, FlowymlError] = {}
    remarks: dict[Binding, str] = {}
    for binding, own in sorted(survey.bindings.items(), key=lambda item: item[0]):
        other = loaded.get(binding)
        code = users_code(own.value)
        if _is_part_of(binding, carried):
            continue
        if is_named(binding, evaluate) and other is not None:
            kept[binding], digests[binding] = own.value, other.digest
        elif is_named(binding, carry):
            carried[binding] = own.value
        elif own.state.is_comparable or code is not None:
            if binding in differing and _is_managed(own, other):
                continue
            if isinstance(code, type) and code.__qualname__ == binding.name and other is not None:
                if binding in differing:
                    refusals[binding] = _different_class(binding)
                continue
            if binding in differing or own.state.has_moment:
                carried[binding] = own.value
                if isinstance(code, FunctionType) and other is not None and binding in differing:
                    remarks[binding] = f"{binding} differs from its file: jobs use it as it is here"
            elif code is None:
                kept[binding], digests[binding] = own.value, own.state.digest
        elif (reason := _unsafe(binding, own, other, differing)) is None:
            kept[binding] = own.value
        else:
            refusals[binding] = _refusal(binding, own.value, reason)
    deleted = {b for b in loaded.keys() - survey.bindings.keys() if not is_named(b, evaluate)}
    return Decision(
        carried=carried,
        loaded=kept,
        digests=digests,
        by_source=frozenset(b for b in digests if survey.bindings[b].by_source),
        deleted=frozenset(deleted),
        refusals=refusals,
        remarks=remarks,
    )


def _owner(binding: Binding) -> Binding:
    """Return the class of an attribute, or the module of a name."""
    return Binding(binding.module, binding.name.rpartition(".")[0])


def is_named(binding: Binding, names: Collection[str]) -> bool:
    """Return whether the user's names (`NAME` or `module.NAME`) contain a binding."""
    return binding.name in names or str(binding) in names


def _is_part_of(binding: Binding, carried: Mapping[Binding, Any]) -> bool:
    """Return whether a binding is an attribute of a class that is carried as a whole."""
    owner, dot, _ = binding.name.rpartition(".")
    return bool(dot) and Binding(binding.module, owner) in carried


def _is_managed(own: SurveyedBinding, other: State | None) -> bool:
    """Return whether a value is a descriptor of a class, of which its package takes care."""
    kind = type(own.value)
    return (
        own.is_attribute
        and other is not None
        and hasattr(kind, "__get__")
        and not (is_users_module(kind.__module__) or is_decorated(own.value))
        and kind.__module__.partition(".")[0] not in sys.stdlib_module_names
    )


def _unsafe(
    binding: Binding, own: SurveyedBinding, other: State | None, differing: Collection[Binding]
) -> str | None:
    """Return why a value that cannot be compared may not be loaded again; None if it may."""
    if own.is_attribute and (other is None or _is_managed(own, other)):
        return None
    if other is None:
        return "it is not defined when a job loads the program"
    if binding in differing:
        return "it or a part of it differs when a job loads the program"
    if changed := sorted(use for use in own.uses if use in differing):
        return f"it was made with {changed[0].name!r}, which differs when a job loads the program"
    return own.assigned


def _different_class(binding: Binding) -> PipelineFileError:
    # A copy of the client's class would not be the class of the objects that the job loads.
    return PipelineFileError(
        what=f"Class {binding.name!r} is different when a job loads the program",
        why="its bases, its enum members or the defaults of its fields are not those it has here",
        fix="give jobs the environment variables that it is made from with env={…}; or use what "
        f"each job makes of it with Pipeline(evaluate=[{binding.name!r}])",
    )


def _refusal(binding: Binding, value: Any, reason: str) -> UnpicklableStepError:
    return UnpicklableStepError(
        what=f"The steps use {binding.name!r}, a {type(value).__qualname__}, which jobs can't have",
        why=f"it can't be compared or carried, and {reason}",
        fix="assign it once, at the top level of its module; or create it inside the step; or "
        f"allow each job to make it again with Pipeline(evaluate=[{binding.name!r}])",
    )
