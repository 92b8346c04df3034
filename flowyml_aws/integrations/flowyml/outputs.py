"""Outputs of a run for FlowyML: loaded on access by name, summarized in iterations."""

from __future__ import annotations

from collections.abc import Collection, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.client.result import OutputNotFoundError, Outputs
from flowyml_aws.core.errors import FlowymlError

__all__ = ["SHOWN_BYTES", "RunOutputs", "StoredValue"]

SHOWN_BYTES = 16 * 2**20
"""Maximum size of a value that FlowyML gets when it iterates over all outputs of a run."""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """Placeholder for a stored value that is large, or that cannot be loaded on this machine.

    Attributes:
        uri: URI of the stored value.
        size_bytes: Size of the value.
        note: Reason why the value is not shown.
    """

    uri: str
    size_bytes: int
    note: str

    def __str__(self) -> str:
        return f"{self.uri} ({self.size_bytes:,} bytes, {self.note})"


class RunOutputs(Mapping[str, Any]):
    """Stored values by asset and by step name.

    `outputs[name]` and `outputs.get(name)` load a value. `items()` and `values()` return a large
    value as a `StoredValue`: FlowyML iterates over all outputs for its summary and its record.

    Args:
        values: Outputs of the run.
        refs: References to the stored values, by asset.
        unstored: Names of assets and steps whose values were produced but not stored.
        hidden: Names that FlowyML does not have.
    """

    def __init__(
        self,
        values: Outputs,
        refs: Mapping[str, ArtifactRef],
        unstored: Collection[str] = (),
        hidden: Collection[str] = (),
    ) -> None:
        self._values, self._refs, self._unstored = values, refs, frozenset(unstored)
        self._hidden = frozenset(hidden)

    def __getitem__(self, name: str) -> Any:
        if name in self._unstored:
            raise OutputNotFoundError(
                what=f"The output {name!r} of this run is not stored",
                why="it was only passed between the steps of one job",
                fix="add store_all: true to the orchestrator in flowyml.yaml, or use "
                "FlowymlAws(store_all=True), and run once with the step's name in refresh=[…]",
            )
        return self._values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value, or the default if the run has no output with this name.

        Raises:
            OutputNotFoundError: The value was produced but not stored.
        """
        return self[name] if name in self._values or name in self._unstored else default

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._values if name not in self._hidden)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._values and name not in self._hidden

    def items(self) -> ItemsView[str, Any]:
        return {name: self.shown(name) for name in self}.items()

    def values(self) -> ValuesView[Any]:
        return {name: self.shown(name) for name in self}.values()

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def shown(self, name: str) -> Any:
        """Return the value if it is small and can be loaded, and otherwise a `StoredValue`."""
        refs = [self._refs[asset] for asset in self._values.assets(name)]
        size_bytes = sum(map(_size_bytes, refs))
        if size_bytes > SHOWN_BYTES:
            return StoredValue(refs[0].uri, size_bytes, "loaded on access by name")
        try:
            return self._values[name]
        except Exception as error:  # any exception: for example, a missing library of the value
            reason = error.what if isinstance(error, FlowymlError) else str(error)
            return StoredValue(refs[0].uri, size_bytes, f"cannot be loaded here: {reason}")


def _size_bytes(ref: ArtifactRef) -> int:
    return ref.compression.size_bytes if ref.compression else ref.size_bytes
