"""GPU names: parsing of all common spellings, and the ranking of models.

The data is in `gpus.json`, with its units and sources.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from flowyml_aws.core.errors import UnknownGpuError

__all__ = ["GpuModel", "GpuName", "gpu_models", "nominal_memory_gb", "parse_gpu_name"]

_LABEL = "node.kubernetes.io/instance-type"
# Words in vendors' and clusters' spellings that say nothing about the model.
_NOISE = re.compile(
    r"nvidia|tesla|amd|gpu|tensor|core|blackwell|server|edition|sxm\d?|pcie|nvl\d*|mega|hbm\d?e?"
    r"|ac|shared|vws"
)
_SEPARATOR = re.compile(r"[\s_-]+")
_MEMORY = re.compile(r"(\d+)gi?b?")
_SPACED_MEMORY = re.compile(r"(?<![^\s_-])(\d+)[\s_-]+(gi?b)(?![^\s_-])")
_MIG = re.compile(r"[\s_-]*(?:(?<![a-z])mig(?![a-z])|\d+g\.\d+gb).*")
_COUNTED = re.compile(r"(.+?)\s*:\s*(\d+)")
_INSTANCE_TYPE = re.compile(
    r"(?P<family>[a-z]+\d[a-z0-9]*(?:-[a-z0-9]+)?)"
    r"(?P<size>\.(?:nano|micro|small|medium|\d*x?large|metal.*))?"
)
# Drivers reserve different amounts of memory: an A10G is reported as 24,576 or as 22,888 MiB.
_REPORTED_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A GPU model of `gpus.json`.

    Attributes:
        name: Canonical name, such as `a100`.
        rank: Position in the ranking; 1 is the best model.
        memory_gb: Memory per GPU of each variant, in GB as the vendor states it, ascending.
        reported_mib: Memory of the same variants in MiB as EC2 reports it, in the same order.
    """

    name: str
    rank: int
    memory_gb: tuple[int, ...]
    reported_mib: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GpuName:
    """A parsed GPU name: the model, and the memory if the name states it (otherwise 0)."""

    model: GpuModel
    memory_gb: int

    @property
    def strength(self) -> tuple[int, int]:
        """Sort key, from the weakest to the best."""
        return (-self.model.rank, self.memory_gb)


@lru_cache(maxsize=1)
def gpu_models() -> Mapping[str, GpuModel]:
    """Return the models by each of their normalized names (see `parse_gpu_name`), best first."""
    models: dict[str, GpuModel] = {}
    for rank, row in enumerate(_table()["gpus"], 1):
        variants = sorted((v["memory_gb"], v["reported_mib"]) for v in row["variants"])
        memory_gb, reported_mib = zip(*variants, strict=True)
        model = GpuModel(row["model"], rank, memory_gb, reported_mib)
        models.update(dict.fromkeys((row["model"], *row.get("also", ())), model))
    return models


def nominal_memory_gb(model: str, reported_mib: int) -> int:
    """Return the memory of a GPU in GB as the vendor states it: 24 for an L4 with 22,888 MiB.

    Args:
        model: Any name of the model, such as EC2's name (`RTX PRO Server 6000`).
        reported_mib: Memory of one whole GPU, as EC2 reports it.

    Raises:
        UnknownGpuError: The model is unknown, or has no variant with about this much memory.
    """
    known = parse_gpu_name(model).model
    for memory_gb, mib in zip(known.memory_gb, known.reported_mib, strict=True):
        if abs(mib - reported_mib) <= mib * _REPORTED_TOLERANCE:
            return memory_gb
    listed = " and ".join(f"{mib} MiB" for mib in known.reported_mib)
    raise UnknownGpuError(
        what=f"Unknown variant of the GPU {known.name} with {reported_mib} MiB",
        why=f"its known variants report {listed}",
        fix="add the variant to core/gpus.json",
    )


def parse_gpu_name(spelling: str) -> GpuName:
    """Parse a GPU name, such as `A100`, `nvidia-tesla-a100` or `NVIDIA-A100-SXM4-80GB`.

    Memory in the name is a lower bound. `tesla-a100`, the name that GKE and Vertex use for the
    40 GB card, states 40 GB, so the 80 GB card also satisfies it.

    Raises:
        UnknownGpuError: AWS offers no GPU with this name; the error suggests similar ones.
    """
    if not isinstance(spelling, str):
        raise UnknownGpuError(
            what=f"Unknown GPU {spelling!r}",
            why=f"a GPU name must be a string, got {type(spelling).__name__}",
            fix='write its name, such as "nvidia-a100"',
        )
    return _parse(spelling)


@lru_cache(maxsize=256)
def _parse(spelling: str) -> GpuName:
    words = _SEPARATOR.split(_SPACED_MEMORY.sub(r"\1\2", spelling.strip().lower()))
    stated = [int(match[1]) for word in words if (match := _MEMORY.fullmatch(word))]
    name = "-".join(
        word for word in words if not _MEMORY.fullmatch(word) and not _NOISE.fullmatch(word)
    )
    model = gpu_models().get(name)
    if model is None:
        raise _unknown_name(spelling, name)
    if not stated and "tesla" in words:
        stated.append(_row(model.name).get("tesla_gb", 0))
    memory_gb = max(stated, default=0)
    if memory_gb > model.memory_gb[-1]:
        raise _unavailable_memory(spelling, model, memory_gb)
    return GpuName(model, memory_gb)


def _unknown_name(spelling: str, name: str) -> UnknownGpuError:
    """Return the error for a name that no GPU on AWS has, with a suggestion.

    Args:
        spelling: Name as the user wrote it.
        name: The same name without vendor, form factor and memory.
    """
    plain = spelling.strip().lower()
    if slice_of := _MIG.search(plain):
        card = spelling.strip()[: slice_of.start()]
        return _unknown(
            spelling,
            why="it names a slice of a GPU (MIG), but jobs get whole GPUs",
            fix=f"request the whole card: {card or 'nvidia-a100-80gb'}",
        )
    if counted := _COUNTED.fullmatch(spelling.strip()):
        return _unknown(
            spelling,
            why="the number of GPUs is not part of the name",
            fix=f'write GPUConfig("{counted[1]}", count={counted[2]})',
        )
    if machine := _INSTANCE_TYPE.fullmatch(plain.removeprefix("ml.")):
        error = _instance_type(spelling, machine["family"], machine[0] if machine["size"] else None)
        if error is not None:
            return error
    for row in _table()["other_accelerators"]:
        if name in (row["name"], *row["also"]):
            return _other_accelerator(spelling, row, row["example_type"])
    for row in _table()["not_on_aws"]:
        if re.fullmatch(row["names"], name):
            return _unknown(
                spelling, why=row["why"], fix=f"write {_any_of(row['instead'], spelling)}"
            )
    near = _nearest(name)
    known = ", ".join(dict.fromkeys(model.name for model in gpu_models().values()))
    return _unknown(
        spelling,
        why=f"no GPU on AWS has this name; the known names are {known}",
        fix=f"did you mean {_any_of(near, spelling)}?" if near else "use one of these names",
    )


def _unavailable_memory(spelling: str, model: GpuModel, memory_gb: int) -> UnknownGpuError:
    sizes = " and ".join(f"{gb} GB" for gb in model.memory_gb)
    largest = _as_written(f"{model.name}-{model.memory_gb[-1]}gb", spelling)
    # The weakest models first: they are closest to the requested one.
    weakest = reversed(dict.fromkeys(gpu_models().values()))
    sufficient = [m.name for m in weakest if m.memory_gb[-1] >= memory_gb][:3]
    more = f", or a GPU with enough memory: {_any_of(sufficient, spelling)}" if sufficient else ""
    return _unknown(
        spelling,
        why=f"{model.name} is available with {sizes}, not with {memory_gb} GB",
        fix=f"write {largest}{more}",
    )


def _instance_type(spelling: str, family: str, full: str | None) -> UnknownGpuError | None:
    """Return the error for an EC2 instance type (`full`) or family, or None if it is neither."""
    for row in _table()["other_accelerators"]:
        if family in row["families"]:
            return _other_accelerator(spelling, row, full or row["example_type"])
    gpu = _gpu_of_family(family)
    if gpu is None and full is None:
        return None
    kind = "an instance family" if full is None else "an instance type"
    return _unknown(
        spelling,
        why=f"this is {kind}, not a GPU" + (f"; its GPU is {gpu}" if gpu else ""),
        fix=f"write {gpu or 'the name of a GPU'}; to get exactly this instance type, "
        + _require(full or f"{family}.<size>"),
    )


def _gpu_of_family(family: str) -> str | None:
    """Return the GPU of an instance family, with its memory if the model has several sizes."""
    for row in _table()["gpus"]:
        for variant in row["variants"]:
            if family in variant["families"]:
                has_sizes = len(row["variants"]) > 1
                return str(row["model"]) + (f"-{variant['memory_gb']}gb" if has_sizes else "")
    return None


def _other_accelerator(
    spelling: str, row: Mapping[str, Any], instance_type: str
) -> UnknownGpuError:
    return _unknown(
        spelling,
        why=f"{row['name']} is an accelerator, not a GPU",
        fix=f"omit `gpu` and {_require(instance_type)}",
    )


def _require(instance_type: str) -> str:
    return f'require it: NodeAffinity(required={{"{_LABEL}": "{instance_type}"}})'


def _unknown(spelling: str, why: str, fix: str) -> UnknownGpuError:
    return UnknownGpuError(what=f"Unknown GPU {spelling!r}", why=why, fix=fix)


def _nearest(name: str) -> list[str]:
    models = gpu_models()
    joined = {known.replace("-", ""): model.name for known, model in models.items()}
    if (exact := joined.get(name.replace("-", ""))) is not None:
        return [exact]
    near = difflib.get_close_matches(name, models, n=3, cutoff=0.5)
    return list(dict.fromkeys(models[known].name for known in near))


def _any_of(names: Iterable[str], spelling: str) -> str:
    return " or ".join(_as_written(name, spelling) for name in names)


def _as_written(name: str, spelling: str) -> str:
    """Write a canonical name in the style of the user's spelling: vendor, separator, case."""
    separator = match[0] if (match := re.search(r"[\s_-]", spelling.strip())) else "-"
    vendor = "nvidia-" if spelling.lower().startswith("nvidia") and "radeon" not in name else ""
    text = (vendor + name).replace("-", separator)
    return text.upper() if spelling.isupper() or spelling.startswith("NVIDIA") else text


def _row(model: str) -> Mapping[str, Any]:
    row: Mapping[str, Any] = next(row for row in _table()["gpus"] if row["model"] == model)
    return row


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Any]:
    table: dict[str, Any] = json.loads(Path(__file__).with_name("gpus.json").read_text("utf-8"))
    return table
