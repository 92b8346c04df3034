"""Outputs of a run that can be loaded, as lists of outputs show them."""

from __future__ import annotations

from dataclasses import dataclass

from flowyml_aws.artifacts.refs import ArtifactRef

__all__ = ["StoredList", "StoredOutput"]


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """An output of a run that can be loaded."""

    asset: str
    step: str
    ref: ArtifactRef


@dataclass(frozen=True, slots=True)
class StoredList:
    """An output of a mapped step with items that can be loaded.

    Attributes:
        first: Ref of the first item that is stored.
        stored: Number of items that are stored.
        items: Number of items of the map.
        size_bytes: Size of the stored items.
    """

    asset: str
    step: str
    first: ArtifactRef
    stored: int
    items: int
    size_bytes: int
