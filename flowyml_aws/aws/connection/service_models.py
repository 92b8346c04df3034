"""Loading of botocore's service models, without the parts that this package does not use."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import DataNotFoundError
from botocore.loaders import JSONFileLoader, Loader

__all__ = ["ServiceModelLoader", "keep_operations"]

# The model of EC2 takes more memory than those of all other services of a run together.
_OPERATIONS = {
    "ec2": (
        "DescribeInstanceTypeOfferings",
        "DescribeInstanceTypes",
        "DescribeInstances",
        "DescribeSpotPriceHistory",
    )
}


class ServiceModelLoader(Loader):
    """A loader of botocore that keeps only some operations of a large service in memory."""

    @classmethod
    def of(cls, data_path: str | None) -> ServiceModelLoader:
        """Return a loader that also searches the folders of the variable AWS_DATA_PATH."""
        paths = data_path.split(os.pathsep) if data_path else []
        folders = [str(Path(os.path.expandvars(path)).expanduser()) for path in paths]
        return cls(folders, file_loader=_LeanFiles())

    def list_available_services(  # type: ignore[override]  # botocore only searches and joins it
        self, type_name: str
    ) -> Collection[str]:
        """Return the services that have a model of a type.

        botocore searches the folders of all 400 services before it loads the model of one.
        """
        return _Services(self, type_name)

    def load_service_model(
        self, service_name: str, type_name: str, api_version: str | None = None
    ) -> Any:
        # The loader's cache has this object, too.
        model: Any = super().load_service_model(service_name, type_name, api_version)
        if type_name == "service-2" and service_name in _OPERATIONS:
            keep_operations(model, _OPERATIONS[service_name])
        return model


@dataclass(frozen=True)
class _Services(Collection[str]):
    """The names of the services that have a model of a type, searched when they are needed."""

    loader: Loader
    type_name: str

    def __contains__(self, service: object) -> bool:
        try:
            return bool(self.loader.list_api_versions(str(service), self.type_name))
        except DataNotFoundError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(Loader.list_available_services(self.loader, self.type_name))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _LeanFiles(JSONFileLoader):
    """Reads JSON files as plain dicts, with empty documentation, which takes half of the memory.

    Only the help of botocore's objects shows it.
    """

    def load_file(self, file_path: str) -> Any:
        for suffix, opened in ((".json", open), (".json.gz", gzip.open)):
            if (path := Path(f"{file_path}{suffix}")).is_file():
                with opened(path, "rb") as file:
                    return json.loads(file.read(), object_pairs_hook=_without_documentation)
        return None


def _without_documentation(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    # Not every reader of a model expects that it is missing. A member of a structure may have this
    # name, too.
    return {
        name: "" if name == "documentation" and isinstance(value, str) else value
        for name, value in pairs
    }


def keep_operations(model: dict[str, Any], operations: Collection[str]) -> None:
    """Remove the other operations from a service model, and all shapes that only they use."""
    kept = {name: model["operations"][name] for name in operations}
    shapes: dict[str, Any] = {}
    new = set(_shapes_in(kept))
    while new:
        shapes.update((name, model["shapes"][name]) for name in new)
        new = {name for shape in new for name in _shapes_in(shapes[shape])} - shapes.keys()
    # Two threads may do this at the same time.
    model["operations"], model["shapes"] = kept, shapes


def _shapes_in(part: Any) -> Iterator[str]:
    """Yield the names of the shapes that a part of a model refers to."""
    if isinstance(part, dict):
        if isinstance(name := part.get("shape"), str):
            yield name
        for each in part.values():
            yield from _shapes_in(each)
    elif isinstance(part, list):
        for each in part:
            yield from _shapes_in(each)
