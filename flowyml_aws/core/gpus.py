"""GPU names: every spelling of a model, and which model is the better one.

The table is `gpus.json`; its key and its sources stand in it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flowyml_aws.core.errors import UnknownGpuError

__all__ = ["GpuModel", "GpuName", "gpu_models", "parse_gpu_name"]

# Words in vendors' and clusters' spellings that tell nothing about the model.
_NOISE = re.compile(r"^(nvidia|tesla|amd|sxm\d?|pcie|nvl|mega|server-edition|hbm\d?e?|gpu)$")
_MEMORY = re.compile(r"^(\d+)gi?b?$")


@dataclass(frozen=True, slots=True)
class GpuModel:
    """One GPU model of the table.

    Attributes:
        name: Canonical name, such as `a100`.
        rank: 1 is the best.
        memory_gb: Memory per GPU of each variant, in GB as the vendor names it, ascending.
    """

    name: str
    rank: int
    memory_gb: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GpuName:
    """What a spelling means: the model, and the memory if the name states it (0 if not)."""

    model: GpuModel
    memory_gb: int

    @property
    def strength(self) -> tuple[int, int]:
        """Sorts from the weakest to the best."""
        return (-self.model.rank, self.memory_gb)


@lru_cache(maxsize=1)
def gpu_models() -> Mapping[str, GpuModel]:
    """Every model by each of its names, in the normal form of `parse_gpu_name`."""
    table = json.loads(Path(__file__).with_name("gpus.json").read_text("utf-8"))
    models: dict[str, GpuModel] = {}
    for row in table["gpus"]:
        model = GpuModel(row["model"], row["rank"], tuple(sorted(row["memory_gb"])))
        models.update(dict.fromkeys((row["model"], *row["also"]), model))
    return models


def parse_gpu_name(spelling: str) -> GpuName:
    """The GPU that a spelling names: `A100`, `nvidia-tesla-a100`, `NVIDIA-A100-SXM4-80GB`, ….

    Raises:
        UnknownGpuError: No model has this name; the error lists the nearest ones.
    """
    if not isinstance(spelling, str):
        raise UnknownGpuError(
            what=f"Unknown GPU {spelling!r}",
            why=f"a GPU is named by a text, this is {type(spelling).__name__}",
            fix='write its name, such as "nvidia-a100"',
        )
    return _parse(spelling)


@lru_cache(maxsize=256)
def _parse(spelling: str) -> GpuName:
    models = gpu_models()
    words = [w for w in re.split(r"[\s_-]+", spelling.strip().lower()) if not _NOISE.match(w)]
    stated = [int(found[1]) for word in words if (found := _MEMORY.match(word))]
    name = "-".join(word for word in words if not _MEMORY.match(word))
    model = models.get(name)
    if model is None:
        near = difflib.get_close_matches(name, models, n=3, cutoff=0.5)
        known = ", ".join(sorted({m.name for m in models.values()}))
        raise UnknownGpuError(
            what=f"Unknown GPU {spelling!r}",
            why=f"no GPU on AWS has this name; known are {known}",
            fix=f"did you mean {' or '.join(near)}?" if near else "write one of these names",
        )
    memory_gb = max(stated, default=0)
    if memory_gb > model.memory_gb[-1]:
        sizes = " and ".join(f"{gb} GB" for gb in model.memory_gb)
        raise UnknownGpuError(
            what=f"Unknown GPU {spelling!r}",
            why=f"{model.name} has {sizes}, never {memory_gb} GB",
            fix=f"write {model.name}-{model.memory_gb[-1]}gb",
        )
    return GpuName(model, memory_gb)
