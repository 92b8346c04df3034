"""Binding of inputs and context values to the parameters of a step's function or condition.

An input fills the parameter with its name, or otherwise the parameter at its index
(`inputs=["data/train"]` fills `train_data`). An input without a matching parameter is dropped.
The context fills the remaining parameters by name. A parameter of a condition gets the same value
as the function's parameter with that name, and otherwise the pipeline's asset with that name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Arguments", "bind", "parameter_names"]

_NAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The sources of a function's arguments.

    Attributes:
        assets: Parameter → asset.
        context: Parameters filled from the context.
        missing: Parameters without a value and without a default.
        positional_only: Parameters that must be passed by position, in order → their defaults.
    """

    assets: Mapping[str, str]
    context: tuple[str, ...]
    missing: tuple[str, ...]
    positional_only: Mapping[str, Any]

    def call(
        self, function: Callable[..., Any], assets: Mapping[str, Any], context: Mapping[str, Any]
    ) -> Any:
        """Call the function with values from these assets and this context."""
        values = {parameter: assets[asset] for parameter, asset in self.assets.items()}
        values.update((parameter, context[parameter]) for parameter in self.context)
        # A missing argument is passed as its default, so that later arguments keep their position.
        by_position = [values.pop(p, default) for p, default in self.positional_only.items()]
        return function(*by_position, **values)


def bind(
    function: Callable[..., Any],
    inputs: Sequence[str],
    context: Collection[str],
    assets: Collection[str] = (),
    like: Callable[..., Any] | None = None,
) -> Arguments:
    """Match a function's parameters with inputs, then context names, then assets by name.

    Args:
        function: The function of a step, or its condition.
        inputs: Assets that the step reads.
        context: Names in the context.
        assets: For a condition: assets that it can take by name.
        like: For a condition: the step's function; equal parameters get equal arguments.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # some builtins have no signature: they take their inputs in order
        return Arguments({name: name for name in inputs}, (), (), dict.fromkeys(inputs))
    parameters = _named(signature)
    names = [p.name for p in parameters]
    accepts_any_name = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())

    filled = {name: name for name in inputs if name in names}
    # Parameters that get a value by name, or have a default, are not filled by position.
    reserved: set[str] = set()
    if like is not None:
        of_like = bind(like, inputs, context)
        filled.update((name, of_like.assets[name]) for name in names if name in of_like.assets)
        reserved.update(
            p.name
            for p in parameters
            if p.name in context or p.name in assets or p.default is not p.empty
        )
    for index, asset in enumerate(inputs):
        if asset in filled:
            continue
        if index < len(names) and names[index] not in filled and names[index] not in reserved:
            filled[names[index]] = asset
        elif accepts_any_name and asset.isidentifier():
            filled[asset] = asset
    from_context = [name for name in names if name in context and name not in filled]
    filled.update(
        {n: n for n in names if n in assets and n not in filled and n not in from_context}
    )
    missing = [
        p.name
        for p in parameters
        if p.name not in filled and p.name not in from_context and p.default is p.empty
    ]
    positional = {
        p.name: p.default
        for p in parameters
        if p.kind is p.POSITIONAL_ONLY and (p.default is not p.empty or p.name not in missing)
    }
    return Arguments(filled, tuple(from_context), tuple(missing), positional)


def parameter_names(function: Callable[..., Any]) -> list[str]:
    """Return the parameters that can be filled by name."""
    try:
        return [p.name for p in _named(inspect.signature(function))]
    except ValueError:  # some builtins have no signature
        return []


def _named(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [p for p in signature.parameters.values() if p.kind in _NAMED]
