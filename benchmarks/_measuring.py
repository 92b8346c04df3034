"""Taking times side by side, and telling them against targets."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

import flowyml_aws

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
    "tell",
]


@dataclass(frozen=True)
class Times:
    """Repeated times of one thing, in seconds."""

    all_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return median(self.all_s)

    @property
    def least_s(self) -> float:
        return min(self.all_s)


@dataclass(frozen=True)
class Target:
    """What a measured number must not exceed."""

    what: str
    measured: float
    at_most: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.at_most


def cpu_seconds(call: Callable[[], object]) -> float:
    """The processor time that a call takes; what other programs take meanwhile does not count.

    The garbage collector works on what the call makes, not on what lay in memory before.
    """
    gc.collect()
    gc.freeze()
    started = time.process_time()
    call()
    taken = time.process_time() - started
    gc.unfreeze()
    return taken


def interleaved(measures: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, Times]:
    """Each measure in turn, again and again: a slow minute of the machine hits all alike."""
    for measure in measures.values():
        measure()  # once in vain: files come into the cache, imports happen
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repetitions):
        for name, measure in measures.items():
            taken[name].append(measure())
    return {name: Times(tuple(times)) for name, times in taken.items()}


def command(*arguments: str, environment: Mapping[str, str], folder: Path) -> str:
    """The output of `python …`, with this Python and this package.

    Raises:
        SystemExit: It failed; what it said is told.
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
    """This environment without settings of an account or of Python; this package is found in it.

    Settings of Python's own, such as not to keep compiled modules, would change what is measured.
    """
    dropped = ("AWS_", "FLOWYML_", "METAFLOW_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    places = (str(Path(flowyml_aws.__path__[0]).parent), os.environ.get("PYTHONPATH", ""))
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, places))}


class Peak:
    """The most memory that this process has beside what it has now; on Linux only."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before_mib = _status_mib("VmRSS")

    def mib(self) -> float:
        return _status_mib("VmHWM") - self._before_mib


def _status_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def argument_parser(description: str | None, repetitions: int) -> argparse.ArgumentParser:
    """Parser of `--repetitions N` and `--json FILE`, to which a benchmark adds its own options."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repetitions", type=int, default=repetitions, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    return parser


def arguments(description: str | None, repetitions: int) -> argparse.Namespace:
    """Values of `--repetitions N` and `--json FILE`."""
    return argument_parser(description, repetitions).parse_args()


def tell(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    targets: Sequence[Target],
    notes: Sequence[str] = (),
    numbers: Mapping[str, Any] | None = None,
    file: Path | None = None,
) -> int:
    """Print the table and the targets, write them as JSON where a file is named.

    Returns:
        The exit code: 1 where a target is missed.
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
        numbers_told = f"{target.measured:.2f} {target.unit}, at most {target.at_most:g}"
        console.print(f"{verdict} {target.what}: {numbers_told}", soft_wrap=True)
    for note in notes:
        console.print(f"note: {note}", style="yellow", soft_wrap=True, markup=False)
    if file is not None:
        document = {
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
            "targets": [{**asdict(target), "met": target.met} for target in targets],
            "notes": list(notes),
            "numbers": numbers or {},
        }
        file.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return 0 if all(target.met for target in targets) else 1
