"""Overhead of local runs per step of a group, and per group.

Each program runs a chain of steps that only count, in a separate process with an empty store, and
the whole process is timed. The common part of two program sizes (the start of Python, imports)
cancels out: the overhead of a step is the difference, divided by the number of added steps. Ten
groups that import pandas are compared with one.
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
    report,
)
from benchmarks._results import row

MAX_STEP_MS = 2.0
MAX_GROUP_MS = 40.0
MAX_PANDAS_RATIO = 1.5
FEW_STEPS = 2
PANDAS_GROUPS = 10


@dataclass(frozen=True)
class Program:
    """A chain of steps in one of the products.

    Attributes:
        source: Returns Python code for a number of groups and of steps per group; the code fails
            unless every step has counted.
        more_steps: Steps of one group in the larger program; the smaller program has two.
        more_groups: Groups of one step in the larger program; the smaller program has one. None
            if the product has no groups.
        arguments: Command-line arguments of the program.
    """

    source: Callable[[int, int], str]
    more_steps: int
    more_groups: int | None
    arguments: tuple[str, ...] = ()


def flowyml_program(
    package: str,
    pipeline_arguments: str,
    run_arguments: str,
    groups: int,
    steps: int,
    imports: str = "",
) -> str:
    """Return the program for a package that has `step` and `Pipeline`."""
    return f"""\
{imports}
from {package} import Pipeline, step

def count(counted=0):
    return counted + 1

if __name__ == "__main__":
    pipeline = Pipeline({pipeline_arguments})
    for number in range({groups * steps}):
        declared = step(
            name=f"step_{{number}}",
            inputs=[f"count_{{number - 1}}"] if number else [],
            outputs=[f"count_{{number}}"],
            execution_group=f"group_{{number // {steps}}}",
            register=False,
        )
        pipeline.add_step(declared(count))
    result = pipeline.run({run_arguments})
    assert result.success
    assert result["count_{groups * steps - 1}"] == {groups * steps}
"""


def metaflow_program(groups: int, steps: int) -> str:
    """Return the program for Metaflow, whose steps are processes and which has no groups."""
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
        partial(flowyml_program, "flowyml_aws", '"overhead"', "progress=False"), 502, 21
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
    """Return the seconds that the program takes in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        # Makes the folder a project, which will contain the store.
        Path(folder, "pyproject.toml").touch()
        Path(folder, "program.py").write_text(program.source(groups, steps), "utf-8")
        started = time.monotonic()
        command("program.py", *program.arguments, environment=environment, folder=Path(folder))
        return time.monotonic() - started


def main() -> int:
    options = arguments(__doc__, repetitions=5)
    environment = {**clean_environment(), "USERNAME": "bench"}  # Metaflow requires a name
    installed = {name: program for name, program in PROGRAMS.items() if find_spec(name)}
    measures: dict[str, Callable[[], float]] = {}
    for name, program in installed.items():
        run = partial(whole_process, program, environment=environment)
        measures[f"{name} few steps"] = partial(run, 1, FEW_STEPS)
        measures[f"{name} more steps"] = partial(run, 1, program.more_steps)
        if program.more_groups is not None:
            measures[f"{name} one group"] = partial(run, 1, 1)
            measures[f"{name} more groups"] = partial(run, program.more_groups, 1)
    if find_spec("pandas"):
        source = partial(
            flowyml_program, "flowyml_aws", '"overhead"', "progress=False", imports="import pandas"
        )
        run = partial(whole_process, Program(source, 1, None), environment=environment)
        measures |= {f"{n} with pandas": partial(run, n, 1) for n in (1, PANDAS_GROUPS)}
    times = interleaved(measures, options.repetitions)

    rows, numbers, measured = [], {}, []
    per_step = {
        name: _rounds(
            times[f"{name} few steps"], times[f"{name} more steps"], program.more_steps - FEW_STEPS
        )
        for name, program in installed.items()
    }
    peers = {name: rounds for name, rounds in per_step.items() if name != "flowyml_aws"}
    for name, program in installed.items():
        added = program.more_steps - FEW_STEPS
        per_step_s = _added(times[f"{name} few steps"], times[f"{name} more steps"], added)
        cells = [name, f"{per_step_s * 1000:.2f}"]
        numbers[name] = {"added_step_s": per_step_s}
        references = peers if name == "flowyml_aws" else {}
        measured.append(row(f"added step, {name}", "s", per_step[name], references))
        if program.more_groups is None:
            cells.append("each step is a process")
        else:
            added = program.more_groups - 1
            one, more = times[f"{name} one group"], times[f"{name} more groups"]
            per_group_s = _added(one, more, added)
            cells.append(f"{per_group_s:.3f}")
            numbers[name]["added_group_s"] = per_group_s
            whole = {"a program of one group": one.all_s} if name == "flowyml_aws" else {}
            measured.append(row(f"added group, {name}", "s", _rounds(one, more, added), whole))
        whole_s = numbers[name]["run_s"] = times[f"{name} few steps"].min_s
        rows.append((*cells, f"{whole_s:.2f}"))
    step_ms = numbers["flowyml_aws"]["added_step_s"] * 1000
    group_ms = numbers["flowyml_aws"]["added_group_s"] * 1000
    targets = [
        Target("flowyml_aws, an added step of a group", step_ms, MAX_STEP_MS, "ms"),
        Target("flowyml_aws, an added group", group_ms, MAX_GROUP_MS, "ms"),
    ]
    if find_spec("pandas"):
        one_group_s, many_groups_s = (times[f"{n} with pandas"].min_s for n in (1, PANDAS_GROUPS))
        numbers["flowyml_aws with pandas"] = {
            "one_group_s": one_group_s,
            "ten_groups_s": many_groups_s,
        }
        name = f"flowyml_aws, {PANDAS_GROUPS} groups that import pandas / one"
        targets.append(Target(name, many_groups_s / one_group_s, MAX_PANDAS_RATIO, "times as long"))
        one_s, many_s = (times[f"{n} with pandas"].all_s for n in (1, PANDAS_GROUPS))
        measured.append(row(f"{PANDAS_GROUPS} groups with pandas", "s", many_s, {"one": one_s}))
    notes = [f"from the minimum of {options.repetitions} repetitions in turn"]
    notes += [
        f"{name} is not measured: it is not installed (pip install 'flowyml-aws[bench]')"
        for name in PROGRAMS
        if name not in installed
    ]
    columns = ("product", "added step, ms", "added group, s", f"program of {FEW_STEPS} steps, s")
    return report(columns, rows, targets, notes, numbers, options.json, measured)


def _added(smaller: Times, larger: Times, count: int) -> float:
    # Other load only makes a program slower, so the minimum is closest to its own time.
    return (larger.min_s - smaller.min_s) / count


def _rounds(smaller: Times, larger: Times, count: int) -> list[float]:
    """Return the overhead in each round."""
    return [(more - less) / count for less, more in zip(smaller.all_s, larger.all_s, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
