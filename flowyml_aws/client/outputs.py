"""Values of a run by the names of assets, steps and lists of maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flowyml_aws.client.output_names import OutputNames
from flowyml_aws.submission.missing_output import OutputNotFoundError

__all__ = ["Outputs"]


class Outputs(Mapping[str, Any]):
    """Values by asset name and by step name; each is loaded on access.

    A step's name returns the value of its only output, or a dict of its outputs. The value of an
    asset of a mapped step is the list of the values of its items, without items that were dropped
    or skipped. `outputs["model[3]"]` is the value of one item; iteration leaves out items.

    Only stored values are available: those that another group reads, those that no step reads,
    and the outputs of steps with an explicit `cache=`.
    """

    def __init__(
        self,
        names: OutputNames,
        load: Callable[[Sequence[str]], Mapping[str, Any]],
        explain: Callable[[str], OutputNotFoundError],
    ) -> None:
        """Create the outputs of a run.

        Args:
            names: Names of the stored values.
            load: Loads the values of some assets.
            explain: Returns the error for a name that is not stored.
        """
        self._names = names
        self._load = load
        self._explain = explain
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        assets = self.assets(name)
        if new := [asset for asset in assets if asset not in self._loaded]:
            self._loaded.update(self._load(new))
        if name in self._names.lists:
            values = {
                asset: [self._loaded[item] for item in items]
                for asset, items in self._names.lists[name].items()
            }
        else:
            values = {asset: self._loaded[asset] for asset in assets}
        return values if len(values) > 1 else next(iter(values.values()))

    def assets(self, name: str) -> tuple[str, ...]:
        """Return the stored assets of an asset, a step or a list.

        Raises:
            OutputNotFoundError: Nothing is stored under this name.
        """
        if name in self._names.lists:
            return tuple(item for items in self._names.lists[name].values() for item in items)
        if name not in self._names.values:
            raise self._explain(name)
        return self._names.values[name]

    @property
    def number_of_assets(self) -> int:
        """Number of assets with stored values; all items of a mapped step's asset count once."""
        return self._names.assets

    def is_list(self, name: str) -> bool:
        """Return whether the value of a name is the list of the items of one asset."""
        return len(self._names.lists.get(name, ())) == 1

    def __iter__(self) -> Iterator[str]:
        return iter(self._names.listed)

    def __len__(self) -> int:
        return len(self._names.listed)

    def __contains__(self, name: object) -> bool:
        return name in self._names.values or name in self._names.lists
