"""Interleaved measurements, and reports that compare them with targets."""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

import flowyml_aws
from benchmarks._results import Result, Row, TargetResult, this_machine

__all__ = [
    "Peak",
    "Target",
    "Times",
    "argument_parser",
    "arguments",
    "clean_environment",
    "command",
    "cpu_seconds",
    "interleaved",
    "peak_mib",
    "report",
]


@dataclass(frozen=True)
class Times:
    """Repeated measurements of one time, in seconds."""

    all_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return median(self.all_s)

    @property
    def min_s(self) -> float:
        return min(self.all_s)


@dataclass(frozen=True)
class Target:
    """A measured number, and the limit that it must not exceed."""

    what: str
    measured: float
    at_most: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.at_most


def cpu_seconds(call: Callable[[], object]) -> float:
    """Return the processor time of a call, without the time of other programs.

    The garbage collector only processes objects that the call creates, not older ones.
    """
    gc.collect()
    gc.freeze()
    started = time.process_time()
    call()
    taken = time.process_time() - started
    gc.unfreeze()
    return taken


def interleaved(measures: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, Times]:
    """Run all measurements in turn, so that a slow minute of the machine affects all of them."""
    for measure in measures.values():
        measure()  # warm-up: fills the file cache and imports modules
    results: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repetitions):
        for name, measure in measures.items():
            results[name].append(measure())
    return {name: Times(tuple(times)) for name, times in results.items()}


def command(*arguments: str, environment: Mapping[str, str], folder: Path) -> str:
    """Return the output of `python …`, with this Python and this package.

    Raises:
        SystemExit: The command failed; contains its output.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        env=dict(environment),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"python {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """Return this environment without settings of AWS or Python, with this package importable.

    Settings of Python, such as PYTHONDONTWRITEBYTECODE, would affect the measurements.
    """
    dropped = ("AWS_", "FLOWYML_", "METAFLOW_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    paths = (str(Path(flowyml_aws.__path__[0]).parent), os.environ.get("PYTHONPATH", ""))
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Peak:
    """Peak of this process's memory, in addition to its memory at the start; Linux only."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before_mib = _status_mib("VmRSS")

    def mib(self) -> float:
        return _status_mib("VmHWM") - self._before_mib


def peak_mib() -> float:
    """Return the peak of this process's resident memory; Linux only.

    `ru_maxrss` would include the memory of the process that started it.
    """
    return _status_mib("VmHWM")


def _status_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def argument_parser(description: str | None, repetitions: int) -> argparse.ArgumentParser:
    """Return a parser of `--repetitions N` and `--json FILE`; benchmarks may add options."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repetitions", type=int, default=repetitions, metavar="N")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the numbers to a file"
    )
    return parser


def arguments(description: str | None, repetitions: int) -> argparse.Namespace:
    """Return the values of `--repetitions N` and `--json FILE`."""
    return argument_parser(description, repetitions).parse_args()


def report(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    targets: Sequence[Target],
    notes: Sequence[str] = (),
    numbers: Mapping[str, Any] | None = None,
    file: Path | None = None,
    measured: Sequence[Row] = (),
) -> int:
    """Print the table and the targets, and write them as JSON if there is a file.

    Args:
        numbers: More numbers for the file, in any form.
        measured: Rows of the table of all benchmarks (benchmarks/RESULTS.md).

    Returns:
        The exit code: 1 if a target is missed.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print()
    for target in targets:
        verdict = "[green]met   [/]" if target.met else "[bold red]MISSED[/]"
        comparison = f"{target.measured:.2f} {target.unit}, at most {target.at_most:g}"
        console.print(f"{verdict} {target.what}: {comparison}", soft_wrap=True)
    for note in notes:
        console.print(f"note: {note}", style="yellow", soft_wrap=True, markup=False)
    if file is not None:
        result = Result(
            measured_on=datetime.now(timezone.utc).date().isoformat(),
            machine=this_machine(),
            rows=tuple(measured),
            targets=tuple(TargetResult(**asdict(each), met=each.met) for each in targets),
            notes=tuple(notes),
        )
        document = {**result.model_dump(mode="json"), "numbers": numbers or {}}
        file.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return 0 if all(target.met for target in targets) else 1
