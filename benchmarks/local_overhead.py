"""What running on this machine adds: per step of a group, and per group.

Each program runs a chain of steps that do nothing but count. It is a process of its own with an
empty store, and the time is that of the whole process. What two sizes of a program share (the start
of Python, imports) cancels out: the price of a step is the difference, divided by the added steps.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks._measuring import (
    Target,
    Times,
    arguments,
    clean_environment,
    command,
    interleaved,
    tell,
)

STEP_AT_MOST_MS = 2.0
FEW_STEPS = 2


@dataclass(frozen=True)
class Program:
    """A chain of `groups` times `steps` steps in one of the products.

    Attributes:
        source: Python for so many groups of so many steps; it fails unless every step has counted.
        arguments: Of the program.
        more_steps: Steps of one group in the larger program; the smaller has two.
        more_groups: Groups of one step in the larger program; the smaller has one. None where
            there are no groups.
    """

    source: Callable[[int, int], str]
    more_steps: int
    more_groups: int | None
    arguments: tuple[str, ...] = ()


def flowyml_program(imported: str, made: str, run: str, groups: int, steps: int) -> str:
    """The same program for both packages that have `step` and `Pipeline`."""
    return f"""\
from {imported} import Pipeline, step

def count(counted=0):
    return counted + 1

if __name__ == "__main__":
    pipeline = Pipeline({made})
    for number in range({groups * steps}):
        declared = step(
            name=f"step_{{number}}",
            inputs=[f"count_{{number - 1}}"] if number else [],
            outputs=[f"count_{{number}}"],
            execution_group=f"group_{{number // {steps}}}",
            register=False,
        )
        pipeline.add_step(declared(count))
    result = pipeline.run({run})
    assert result.success
    assert result["count_{groups * steps - 1}"] == {groups * steps}
"""


def metaflow_program(groups: int, steps: int) -> str:
    """A flow whose steps are processes: it has no groups."""
    names = ["start", *(f"step_{number}" for number in range(1, steps - 1)), "end"]
    lines = ["from metaflow import FlowSpec, step", "class Overhead(FlowSpec):"]
    for number, name in enumerate(names):
        counted = "self.counted + 1" if number else "1"
        lines += ["    @step", f"    def {name}(self):", f"        self.counted = {counted}"]
        if name != "end":
            lines.append(f"        self.next(self.{names[number + 1]})")
    lines += [f"        assert self.counted == {steps}"]
    return "\n".join([*lines, "if __name__ == '__main__':", "    Overhead()", ""])


PROGRAMS: dict[str, Program] = {
    "flowyml_aws": Program(
        partial(flowyml_program, "flowyml_aws", '"overhead"', "progress=False"), 502, 5
    ),
    "metaflow": Program(metaflow_program, 5, None, ("--quiet", "--no-pylint", "run")),
    "flowyml": Program(
        partial(
            flowyml_program, "flowyml", '"overhead", enable_cache=False', "auto_start_ui=False"
        ),
        102,
        5,
    ),
}


def whole_process(
    program: Program, groups: int, steps: int, environment: Mapping[str, str]
) -> float:
    """Seconds that the program takes in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        # A project of its own: stores are put beside this.
        Path(folder, "pyproject.toml").touch()
        Path(folder, "program.py").write_text(program.source(groups, steps), "utf-8")
        started = time.monotonic()
        command("program.py", *program.arguments, environment=environment, folder=Path(folder))
        return time.monotonic() - started


def main() -> int:
    options = arguments(__doc__, repetitions=5)
    environment = {**clean_environment(), "USERNAME": "bench"}  # Metaflow asks for a name
    found = {name: program for name, program in PROGRAMS.items() if find_spec(name)}
    measures: dict[str, Callable[[], float]] = {}
    for name, program in found.items():
        one = partial(whole_process, program, environment=environment)
        measures[f"{name} few steps"] = partial(one, 1, FEW_STEPS)
        measures[f"{name} more steps"] = partial(one, 1, program.more_steps)
        if program.more_groups is not None:
            measures[f"{name} one group"] = partial(one, 1, 1)
            measures[f"{name} more groups"] = partial(one, program.more_groups, 1)
    times = interleaved(measures, options.repetitions)

    rows, numbers = [], {}
    for name, program in found.items():
        added = program.more_steps - FEW_STEPS
        per_step_s = _added(times[f"{name} few steps"], times[f"{name} more steps"], added)
        row = [name, f"{per_step_s * 1000:.2f}"]
        numbers[name] = {"added_step_s": per_step_s}
        if program.more_groups is None:
            row.append("each step is a process")
        else:
            added = program.more_groups - 1
            per_group_s = _added(times[f"{name} one group"], times[f"{name} more groups"], added)
            row.append(f"{per_group_s:.3f}")
            numbers[name]["added_group_s"] = per_group_s
        whole_s = numbers[name]["run_s"] = times[f"{name} few steps"].least_s
        rows.append((*row, f"{whole_s:.2f}"))
    step_ms = numbers["flowyml_aws"]["added_step_s"] * 1000
    target = Target("flowyml_aws, an added step of a group", step_ms, STEP_AT_MOST_MS, "ms")
    notes = [f"from the least of {options.repetitions} repetitions in turn"]
    notes += [
        f"{name} is not measured: it is not installed (pip install 'flowyml-aws[bench]')"
        for name in PROGRAMS
        if name not in found
    ]
    columns = ("product", "added step, ms", "added group, s", f"program of {FEW_STEPS} steps, s")
    return tell(columns, rows, [target], notes, numbers, options.json)


def _added(smaller: Times, larger: Times, count: int) -> float:
    # What disturbs a program only ever makes it longer: the least comes nearest to its own time.
    return (larger.least_s - smaller.least_s) / count


if __name__ == "__main__":
    sys.exit(main())
