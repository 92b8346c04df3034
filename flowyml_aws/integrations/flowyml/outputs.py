"""A run's values for FlowyML: loaded when they are asked for, told of where they only pass by."""

from __future__ import annotations

from collections.abc import Collection, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.result import OutputNotFoundError, Outputs

__all__ = ["SHOWN_BYTES", "RunOutputs", "StoredValue"]

SHOWN_BYTES = 16 * 2**20
"""FlowyML looks at every output, for its summary and its record: it gets those up to this size."""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """Stands for a value where FlowyML looks at all of them: it is large, or does not load here.

    Attributes:
        uri: Where it lies.
        size_bytes: Of the value.
        note: Why the value itself is not shown.
    """

    uri: str
    size_bytes: int
    note: str

    def __str__(self) -> str:
        return f"{self.uri} ({self.size_bytes:,} bytes, {self.note})"


class RunOutputs(Mapping[str, Any]):
    """Stored values by asset and by step name.

    `outputs[name]` and `outputs.get(name)` load a value. `items()` and `values()` give a large one
    as a `StoredValue`: FlowyML goes through all of them, and needs hardly more than their kinds.

    Args:
        values: Of the run.
        refs: Where they lie, by asset.
        unstored: Names of assets and steps whose values the run made and did not store.
    """

    def __init__(
        self, values: Outputs, refs: Mapping[str, ArtifactRef], unstored: Collection[str] = ()
    ) -> None:
        self._values, self._refs, self._unstored = values, refs, frozenset(unstored)

    def __getitem__(self, name: str) -> Any:
        if name in self._unstored:
            raise OutputNotFoundError(
                what=f"The output {name!r} of this run is not stored",
                why="it passed from step to step inside one job",
                fix="write store_all: true beside the orchestrator's type in flowyml.yaml, or "
                "FlowymlAws(store_all=True), and run once with refresh=[…], naming its step",
            )
        return self._values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default where the run has no output of this name.

        Raises:
            OutputNotFoundError: The run made it and did not store it.
        """
        return self[name] if name in self._values or name in self._unstored else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def items(self) -> ItemsView[str, Any]:
        return {name: self.shown(name) for name in self}.items()

    def values(self) -> ValuesView[Any]:
        return {name: self.shown(name) for name in self}.values()

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def shown(self, name: str) -> Any:
        """The value where it is small and loads here, else what is known of it."""
        refs = [self._refs[asset] for asset in self._values.assets(name)]
        size_bytes = sum(map(_size_bytes, refs))
        if size_bytes > SHOWN_BYTES:
            return StoredValue(refs[0].uri, size_bytes, "loaded when it is asked for by name")
        try:
            return self._values[name]
        except Exception as error:  # of any kind: a value's library may be missing here
            told = error.what if isinstance(error, FlowymlError) else str(error)
            return StoredValue(refs[0].uri, size_bytes, f"does not load here: {told}")


def _size_bytes(ref: ArtifactRef) -> int:
    return ref.compression.size_bytes if ref.compression else ref.size_bytes
