"""The view of a run that a condition with one parameter gets: `ctx.steps`, `ctx.params`, `ctx[…]`.

It has the form of FlowyML's context for conditions. It contains what the condition names, because
only these values are loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flowyml_aws.core.errors import UserError
from flowyml_aws.core.skipped import Skipped
from flowyml_aws.core.spelling import did_you_mean

__all__ = ["NotInViewError", "RunView", "StepOutputs", "Viewed"]


class NotInViewError(UserError, KeyError):
    """A condition reads something of its run that it does not depend on."""


@dataclass(frozen=True, slots=True)
class Viewed:
    """The values that a view contains.

    Attributes:
        steps: Step → its output → the asset.
        assets: Name → the asset that is read by this name.
        context: Name → the context value that is read by this name.
        optional: Whether the condition is called although an asset does not exist.
    """

    steps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    assets: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False

    @property
    def all_assets(self) -> tuple[str, ...]:
        """All assets of the view."""
        return tuple(dict.fromkeys(self.assets_by_name.values()))

    @property
    def assets_by_name(self) -> dict[str, str]:
        """All assets of the view, by the names that the condition uses."""
        of_steps = {name: a for outputs in self.steps.values() for name, a in outputs.items()}
        return {**of_steps, **self.assets}

    def renamed(self, assets: Mapping[str, str], context: Mapping[str, str]) -> Viewed:
        """Return the view of other assets and context values, which it shows by the same names."""

        def named(values: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
            return {own: names.get(name, name) for own, name in values.items()}

        return replace(
            self,
            steps={step: named(outputs, assets) for step, outputs in self.steps.items()},
            assets=named(self.assets, assets),
            context=named(self.context, context),
        )


@dataclass(frozen=True, slots=True)
class StepOutputs:
    """A step in a view.

    Attributes:
        outputs: Values of the step by output.
    """

    outputs: Mapping[str, Any]


class RunView:
    """The values of a run, for a condition.

    Attributes:
        steps: Steps by name, with `outputs`.
        params: Context values by name.
    """

    def __init__(
        self, viewed: Viewed, assets: Mapping[str, Any], context: Mapping[str, Any]
    ) -> None:
        """Create the view.

        Args:
            viewed: Values that the view contains.
            assets: Values by asset.
            context: Context values by name.
        """
        self.steps: Mapping[str, StepOutputs] = _Part(
            "step",
            {
                step: StepOutputs(_Part("output", {o: assets[a] for o, a in outputs.items()}))
                for step, outputs in viewed.steps.items()
            },
        )
        params = {own: context[name] for own, name in viewed.context.items()}
        self.params: Mapping[str, Any] = _Part("context value", params)
        values = {own: assets[asset] for own, asset in viewed.assets_by_name.items()}
        self._values = _Part("asset or context value", {**params, **values})

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values


class _Part(Mapping[str, Any]):
    """Values of a view by name.

    Args:
        kind: Kind of the names, for errors.
        values: Values by name.
    """

    def __init__(self, kind: str, values: Mapping[str, Any]) -> None:
        self._kind = kind
        self._values = {n: v for n, v in values.items() if not isinstance(v, Skipped)}
        self._skipped = {n: v.reason for n, v in values.items() if isinstance(v, Skipped)}

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return _readable(self._values[name])
        if name in self._skipped:
            raise NotInViewError(
                what=f"The condition reads the {self._kind} {name!r}, which does not exist",
                why=self._skipped[name],
                fix=f"test `{name!r} in …` first",
            )
        known = ", ".join(map(repr, self._values)) or "(none)"
        raise NotInViewError(
            what=f"The condition reads the {self._kind} {name!r}, which its view does not contain",
            why=f"a view contains what the code of the condition names; here it has {known}",
            fix=did_you_mean(
                name,
                self._values,
                'write the name as a string in the condition: ctx.steps["evaluate"]'
                '.outputs["accuracy"], ctx["accuracy"] or ctx.params["threshold"]',
            ),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


def _readable(value: Any) -> Any:
    """Return a value with the attributes that FlowyML's conditions expect."""
    if type(value) is dict:
        return _Attributes(value)
    # A FlowyML asset exists only where FlowyML is imported.
    asset = getattr(sys.modules.get("flowyml.assets.base"), "Asset", None)
    return _ViewedAsset(value) if asset is not None and isinstance(value, asset) else value


class _Attributes(dict[str, Any]):
    """A dict whose values are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"the dict has no key {name!r}")


class _ViewedAsset:
    """A FlowyML asset with what FlowyML adds to it in conditions.

    `metadata` has the properties and the tags, `metrics` those of a `Metrics`, and keys are read
    from its metrics, its data, or its statistics.
    """

    def __init__(self, asset: Any) -> None:
        self._asset = asset

    @property
    def metadata(self) -> dict[str, Any]:
        return {**(self._asset.properties or {}), **(self._asset.tags or {})}

    def __getattr__(self, name: str) -> Any:
        if name == "metrics" and hasattr(self._asset, "get_all_metrics"):
            return self._asset.get_all_metrics() or self._asset.data or {}
        return getattr(self._asset, name)

    def __getitem__(self, key: str) -> Any:
        for values in self._mappings():
            if key in values:
                return values[key]
        raise KeyError(f"{key!r} not found in {type(self._asset).__name__}")

    def __contains__(self, key: object) -> bool:
        return any(key in values for values in self._mappings())

    def _mappings(self) -> Iterator[Mapping[str, Any]]:
        asset = self._asset
        metrics = asset.get_all_metrics() if hasattr(asset, "get_all_metrics") else None
        for values in (metrics, asset.data, getattr(asset, "statistics", None)):
            if isinstance(values, Mapping):
                yield values

    def __repr__(self) -> str:
        return repr(self._asset)
