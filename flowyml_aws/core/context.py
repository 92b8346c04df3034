"""Run parameters, passed to steps by parameter name."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Context", "ContextEntry", "ContextText", "WrittenValue", "context"]


@dataclass(frozen=True, slots=True)
class ContextText:
    """A context value as text, which becomes a value of the type that its parameter has."""

    text: str


@dataclass(frozen=True, slots=True)
class ContextEntry:
    """A context value from a file, whose format has types of its own but not all of Python's."""

    value: Any


WrittenValue = ContextText | ContextEntry
"""A context value that was not given in Python. Steps get the value that it is converted to."""


class Context(Mapping[str, Any]):
    """Named parameters of a run: `Context(learning_rate=0.01, epochs=10)`.

    A step receives each value in the parameter of the same name. Values are read like those of a
    dict (`context["epochs"]`) or as attributes (`context.epochs`).
    """

    def __init__(self, /, **params: Any) -> None:
        self._params = dict(params)

    def __getitem__(self, name: str) -> Any:
        return self._params[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_params"][name]
        except KeyError:
            raise AttributeError(f"The context has no parameter {name!r}") from None

    def keys(self) -> KeysView[str]:
        """Return the parameter names."""
        return self._params.keys()

    def items(self) -> ItemsView[str, Any]:
        """Return the pairs of name and value."""
        return self._params.items()

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as a new dict; values are not copied."""
        return dict(self._params)

    def update(self, params: Mapping[str, Any]) -> None:
        """Add or replace parameters."""
        self._params.update(params)

    def inherit(self, /, **overrides: Any) -> Context:
        """Return a new context with these parameters added or replaced."""
        return Context(**{**self._params, **overrides})

    def __repr__(self) -> str:
        return f"Context({', '.join(f'{name}={value!r}' for name, value in self.items())})"


def context(**params: Any) -> Context:
    """Return a context with these parameters: `context(learning_rate=0.01)`."""
    return Context(**params)
