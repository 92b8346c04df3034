"""Arguments of a call: decided once, on the client, and passed in the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from flowyml_aws.core.run_view import RunView, Viewed
from flowyml_aws.core.signatures import parameters_of
from flowyml_aws.core.skipped import Skipped

__all__ = ["Argument", "Arguments"]


@dataclass(frozen=True, slots=True)
class Argument:
    """The source of one argument.

    Attributes:
        source: An asset, a context value, or the default of the function's own parameter.
        name: Name of the asset, the context value or the parameter.
        among: Assets of different branches that can be the asset: that of the branch that was taken
            is passed. Empty for an asset with one producer.
        default_of: Parameter whose default replaces an asset that does not exist, if it has one.
        accepts_skipped: Whether `Skipped` replaces an asset that does not exist.
        is_lazy: Whether the parameter takes a handle of the value, annotated as `Lazy[T]`.
    """

    source: Literal["asset", "context", "default"]
    name: str
    default_of: str | None = None
    accepts_skipped: bool = False
    among: tuple[str, ...] = ()
    is_lazy: bool = False

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets that the argument can have as its value; none for another source."""
        return (self.among or (self.name,)) if self.source == "asset" else ()

    @property
    def is_needed(self) -> bool:
        """True for an asset that nothing replaces if it does not exist."""
        return self.source == "asset" and self.default_of is None and not self.accepts_skipped

    def renamed(self, assets: Mapping[str, str], context: Mapping[str, str]) -> Argument:
        """Return the argument with another source, if it has one of these assets or values."""
        if self.source == "asset" and not assets.keys().isdisjoint((self.name, *self.among)):
            among = tuple(assets.get(asset, asset) for asset in self.among)
            return replace(self, name=assets.get(self.name, self.name), among=among)
        if self.source == "context" and self.name in context:
            return replace(self, name=context[self.name])
        return self


@dataclass(frozen=True, slots=True)
class Arguments:
    """The sources of a call's arguments. A parameter that is left out keeps its default.

    Attributes:
        positional: Arguments by position, those for `*args` included.
        keywords: Arguments by keyword.
        view: View of the run that is the only argument; None for any other call.
    """

    positional: tuple[Argument, ...] = ()
    keywords: Mapping[str, Argument] = field(default_factory=dict)
    view: Viewed | None = None

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets that the call takes, in the order of its arguments."""
        if self.view is not None:
            return self.view.all_assets
        return tuple(dict.fromkeys(asset for each in self._all for asset in each.assets))

    @property
    def context(self) -> tuple[str, ...]:
        """Context values that the call takes."""
        if self.view is not None:
            return tuple(dict.fromkeys(self.view.context.values()))
        return tuple(dict.fromkeys(a.name for a in self._all if a.source == "context"))

    @property
    def lazy_assets(self) -> frozenset[str]:
        """Assets of which the call gets handles, not values."""
        return frozenset(asset for each in self._all if each.is_lazy for asset in each.assets)

    @property
    def lazy_context(self) -> frozenset[str]:
        """Context values of which the call gets handles."""
        return frozenset(
            each.name for each in self._all if each.is_lazy and each.source == "context"
        )

    @property
    def needed(self) -> tuple[str, ...]:
        """Assets without which the call is impossible."""
        if self.view is not None:
            return () if self.view.optional else self.view.all_assets
        return tuple(each.name for each in self._all if each.is_needed and not each.among)

    @property
    def needed_of_branches(self) -> dict[str, tuple[str, ...]]:
        """Assets of different branches of which the call needs one, by the name that they share."""
        return {each.name: each.among for each in self._all if each.is_needed and each.among}

    def with_assets(self, names: Mapping[str, str]) -> Arguments:
        """Return the arguments with other assets instead of some assets."""
        return self.renamed(names, {})

    def renamed(self, assets: Mapping[str, str], context: Mapping[str, str]) -> Arguments:
        """Return the arguments with other assets and context values instead of some of them."""
        return Arguments(
            tuple(argument.renamed(assets, context) for argument in self.positional),
            {name: each.renamed(assets, context) for name, each in self.keywords.items()},
            None if self.view is None else self.view.renamed(assets, context),
        )

    @property
    def _all(self) -> tuple[Argument, ...]:
        return (*self.positional, *self.keywords.values())

    def call(
        self, function: Callable[..., Any], assets: Mapping[str, Any], context: Mapping[str, Any]
    ) -> Any:
        """Call the function with values from these assets and this context.

        Args:
            function: Function to call.
            assets: Values by asset. `Skipped` is a value without a step that produced it.
            context: Values by name.
        """
        if self.view is not None:
            return function(RunView(self.view, assets, context))

        def value(argument: Argument) -> Any:
            if argument.source == "default":
                return _default(function, argument.name)
            if argument.source == "context":
                return context[argument.name]
            found = _existing(argument, assets)
            if argument.default_of is not None and isinstance(found, Skipped):
                return _default(function, argument.default_of)
            return found

        positional = [value(argument) for argument in self.positional]
        return function(*positional, **{name: value(a) for name, a in self.keywords.items()})


def _existing(argument: Argument, assets: Mapping[str, Any]) -> Any:
    """Return the value of the asset of an argument, or of the branch that was taken."""
    found = assets[argument.assets[0]]
    for asset in argument.among:
        if not isinstance(assets[asset], Skipped):
            return assets[asset]
    return Skipped(argument.name, found.reason) if argument.among else found


def _default(function: Callable[..., Any], name: str) -> Any:
    defaults = {p.name: p.declared.default for p in parameters_of(function) or () if p.has_default}
    return defaults[name]
