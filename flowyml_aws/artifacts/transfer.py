"""Several values at once into a store and out of it: most of the time of each is waiting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.parallel import for_each
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import load_value, save_value

__all__ = ["load_values", "save_values"]


def save_values(store: ArtifactStore, values: Mapping[str, Any]) -> dict[str, ArtifactRef]:
    """Store the values of some assets; their refs by asset.

    Args:
        store: Where to.
        values: By asset. They must not change meanwhile.

    Raises:
        UnstorableValueError: One of them would not come back the same. Others may be stored.
    """
    refs = for_each(values.items(), lambda item: save_value(store, *item))
    return dict(zip(values, refs, strict=True))


def load_values(
    store: ArtifactStore, refs: Mapping[str, ArtifactRef], folder: Path
) -> dict[str, Any]:
    """The values of some assets, by asset; `load_value` says where they lie and what it raises."""
    values = for_each(refs.items(), lambda item: load_value(store, item[1], item[0], folder))
    return dict(zip(refs, values, strict=True))
