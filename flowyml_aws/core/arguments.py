"""Arguments of a call: decided once, on the client, and passed in the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flowyml_aws.core.signatures import parameters_of

__all__ = ["Argument", "Arguments"]


@dataclass(frozen=True, slots=True)
class Argument:
    """The source of one argument.

    Attributes:
        source: An asset, a context value, or the default of the function's own parameter.
        name: Name of the asset, the context value or the parameter.
    """

    source: Literal["asset", "context", "default"]
    name: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """The sources of a call's arguments. A parameter that is left out keeps its default.

    Attributes:
        positional: Arguments by position, those for `*args` included.
        keywords: Arguments by keyword.
    """

    positional: tuple[Argument, ...] = ()
    keywords: Mapping[str, Argument] = field(default_factory=dict)

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets that the call takes, in the order of its arguments."""
        return self._names("asset")

    @property
    def context(self) -> tuple[str, ...]:
        """Context values that the call takes."""
        return self._names("context")

    def _names(self, source: str) -> tuple[str, ...]:
        arguments = (*self.positional, *self.keywords.values())
        return tuple(dict.fromkeys(a.name for a in arguments if a.source == source))

    def call(
        self, function: Callable[..., Any], assets: Mapping[str, Any], context: Mapping[str, Any]
    ) -> Any:
        """Call the function with values from these assets and this context."""

        def value(argument: Argument) -> Any:
            if argument.source == "default":
                return _default(function, argument.name)
            return (assets if argument.source == "asset" else context)[argument.name]

        positional = [value(argument) for argument in self.positional]
        return function(*positional, **{name: value(a) for name, a in self.keywords.items()})


def _default(function: Callable[..., Any], name: str) -> Any:
    defaults = {p.name: p.declared.default for p in parameters_of(function) or () if p.has_default}
    return defaults[name]
