"""Scaling of `build()` and `plan()` with the number of steps, and the time of one selection.

Plans are made for AWS Batch from the packaged catalog, without an account.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from graphlib import TopologicalSorter
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from benchmarks._measuring import (
    Peak,
    argument_parser,
    clean_environment,
    command,
    cpu_seconds,
    interleaved,
    report,
)
from benchmarks._measuring import Target as Limit
from benchmarks._results import Row, row
from flowyml_aws import GPUConfig, Pipeline, ResourceRequirements, Step, step
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import NoInstanceFitsError
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import Target, offline_targets

LARGEST = 10_000  # steps; the other sizes are a tenth and a hundredth
GROWTH = 13.0  # for 10 times the steps
SELECTION_MS = 1.0  # for a new request
STEPS_S = 0.8  # of processor time for 10,000 single-step jobs
EDGES_S = 0.7  # in addition, for a million edges
LONG_CHAIN, LONG_CHAIN_S = 100_000, 10.0
KIB_PER_STEP = 20.0

RESOURCES = (
    None,
    ResourceRequirements(cpu="2", memory="4Gi"),
    ResourceRequirements(cpu="500m", memory="12Gi"),
    ResourceRequirements(cpu="4", memory="8Gi", gpu=GPUConfig("nvidia-t4")),
    ResourceRequirements(cpu="8", memory="64Gi", gpu=GPUConfig("a100", count=2)),
)


def work(**assets: Any) -> int:
    return len(assets)


def make_step(number: int, inputs: list[str], group: str | None) -> Step:
    return step(
        name=f"step_{number}",
        inputs=inputs,
        outputs=[f"asset_{number}"],
        execution_group=group,
        resources=RESOURCES[number // 10 % len(RESOURCES)],
    )(work)


def chain(size: int, grouped: bool) -> list[Step]:
    return [
        make_step(
            number,
            [f"asset_{number - 1}"] if number else [],
            f"group_{number // 10}" if grouped else None,
        )
        for number in range(size)
    ]


def layers(size: int, width: int) -> list[Step]:
    """Return layers of steps: each step reads two assets of the layer before it.

    Half of the steps of each layer form a group.
    """
    steps = []
    for number in range(size):
        layer, column = divmod(number, width)
        above = (layer - 1) * width
        inputs = {f"asset_{above + column}", f"asset_{above + (column + 1) % width}"}
        group = f"layer_{layer}" if column < width // 2 else None
        steps.append(make_step(number, sorted(inputs) if layer else [], group))
    return steps


def a_map(size: int) -> list[Step]:
    """Return a step with this number of items, and a step that reads all of them."""
    item = step(name="item", outputs=["value"])(lambda number: number)
    total = step(name="total", inputs=["value"], outputs=["total"])(lambda value: sum(value))
    return [item.map(rows=[{"number": n} for n in range(size)], items_per_job=20), total]


SHAPES: dict[str, Callable[[int], list[Step]]] = {
    "chain, groups of 10": lambda size: chain(size, grouped=True),
    "chain, no groups": lambda size: chain(size, grouped=False),
    "layers of 10": lambda size: layers(size, 10),
    "layers as wide as deep": lambda size: layers(size, math.isqrt(size)),
    "a map, 20 items per job": a_map,
}


def full_layers(size: int, width: int) -> list[Step]:
    """Return layers of steps without requirements: each step reads the whole layer before it."""
    layer = [[f"asset_{n}" for n in range(first, first + width)] for first in range(0, size, width)]
    return [plain_step(n, layer[n // width - 1] if n >= width else []) for n in range(size)]


def plain_step(number: int, inputs: list[str]) -> Step:
    return step(name=f"step_{number}", inputs=inputs, outputs=[f"asset_{number}"])(work)


FIRST_PLANS: dict[str, Callable[[], list[Step]]] = {
    "one step": lambda: [plain_step(0, [])],
    "single-step jobs": lambda: [plain_step(n, []) for n in range(10_000)],
    "a chain": lambda: [plain_step(n, [f"asset_{n - 1}"] if n else []) for n in range(10_000)],
    "full layers of 5": lambda: full_layers(10_000, 5),
    "full layers of 1,024": lambda: full_layers(2_048, 1_024),
    "5,000 consumers": lambda: [plain_step(n, ["asset_0"] if n else []) for n in range(5_001)],
    "a long chain": lambda: [
        plain_step(n, [f"asset_{n - 1}"] if n else []) for n in range(LONG_CHAIN)
    ],
}


def first_plan(name: str) -> dict[str, float]:
    """Measure two plans of this process, with the garbage collector as a user has it."""
    steps = FIRST_PLANS[name]()
    pipeline = Pipeline(name).add_steps(steps)
    peak = Peak()
    started = time.process_time()
    plan = pipeline.plan(backend="batch")
    first_s = time.process_time() - started
    peak_kib = peak.mib() * 1024
    del plan
    started = time.process_time()
    pipeline.plan(backend="batch")
    again_s = time.process_time() - started
    producers = {each.assets[0]: each.name for each in steps}
    graph = {each.name: [producers[asset] for asset in each.inputs] for each in steps}
    started = time.process_time()
    list(TopologicalSorter(graph).static_order())
    return {
        "steps": len(steps),
        "edges": sum(len(each.inputs) for each in steps),
        "first_s": first_s,
        "again_s": again_s,
        "graphlib_s": time.process_time() - started,
        "kib_per_step": peak_kib / len(steps),
    }


def first_plans(
    repetitions: int, results: list[Row]
) -> tuple[list[tuple[str, ...]], list[Limit], dict[str, Any]]:
    """Return rows, targets and numbers of `first_plan`, each measured in new processes.

    Args:
        results: Rows of the table of all benchmarks, to which those of these plans are added.
    """
    rows, targets, numbers = [], [], {}
    for name in FIRST_PLANS:
        arguments = ("-m", "benchmarks.planning", "--first-plan", name)
        root = Path(__file__).resolve().parents[1]
        runs = [
            json.loads(command(*arguments, environment=clean_environment(), folder=root))
            for _ in range(repetitions)
        ]
        measured = numbers[name] = {key: min(run[key] for run in runs) for key in runs[0]}
        steps, edges = int(measured["steps"]), int(measured["edges"])
        times = (f"{measured[key]:.2f}" for key in ("first_s", "again_s", "graphlib_s"))
        kib = measured["kib_per_step"]
        rows.append((name, f"{steps:,}", f"{edges:,}", *times, f"{kib:,.1f}"))
        sort_s = [run["graphlib_s"] for run in runs]
        for key, what in (("first_s", "first plan"), ("again_s", "second plan")):
            times_s = [run[key] for run in runs]
            others = {"graphlib": sort_s} if steps > 1 else {}
            results.append(row(f"{name}, {what}", "s", times_s, others))
        if steps == 1:  # imports and the catalog
            continue
        limit_s = LONG_CHAIN_S
        if steps < LONG_CHAIN:
            limit_s = STEPS_S * steps / 10_000 + EDGES_S * edges / 1_000_000
        targets.append(Limit(f"{name}, first plan", measured["first_s"], round(limit_s, 2), "s"))
        targets.append(Limit(f"{name}, memory", kib, KIB_PER_STEP, "KiB per step"))
    return rows, targets, numbers


def requests(number: int) -> Iterator[Needs]:
    """Yield different requirements, a third of them with GPUs."""
    generator = random.Random(1)
    for extra_mib in range(number):
        model, count = generator.choice([(None, 0)] * 4 + [("t4", 1), ("a100", 2)])
        memory_mib = generator.randint(512, 500_000) + extra_mib
        yield Needs(generator.randint(1, 96), memory_mib, 0, model, count)


def selection_ms(targets: Sequence[Target], catalog: Catalog, requests: Iterator[Needs]) -> float:
    """Return the milliseconds per selection, with near misses, of the next 500 requests."""
    batch = list(islice(requests, 500))

    def select_all() -> None:
        for needs in batch:
            with suppress(NoInstanceFitsError):
                select(needs, targets, catalog).near_misses()

    return cpu_seconds(select_all) * 1000 / len(batch)


def main() -> int:
    parser = argument_parser(__doc__, repetitions=3)
    parser.add_argument("--largest", type=int, default=LARGEST, metavar="STEPS")
    parser.add_argument("--first-plan", choices=FIRST_PLANS, help="measure one graph, as JSON")
    options = parser.parse_args()
    if options.first_plan is not None:
        print(json.dumps(first_plan(options.first_plan)))
        return 0
    sizes = [options.largest // 100, options.largest // 10, options.largest]
    for name in [name for name in os.environ if name.startswith("FLOWYML_")]:
        del os.environ[name]  # plan without an account
    rows, targets, numbers, measured = [], [], {}, []
    for shape, make in SHAPES.items():
        measures: dict[str, Callable[[], float]] = {}
        jobs = {}
        for size in sizes:
            pipeline = Pipeline(shape).add_steps(make(size))
            jobs[size] = len(pipeline.plan(backend="batch").jobs)
            measures[f"build {size}"] = partial(cpu_seconds, pipeline.build)
            measures[f"plan {size}"] = partial(cpu_seconds, partial(pipeline.plan, backend="batch"))
        times = interleaved(measures, options.repetitions)
        totals, rounds = {}, {}
        for size in sizes:
            build_s, plan_s = times[f"build {size}"].min_s, times[f"plan {size}"].min_s
            totals[size] = build_s + plan_s
            both = times[f"build {size}"].all_s, times[f"plan {size}"].all_s
            rounds[size] = [sum(pair) for pair in zip(*both, strict=True)]
            smaller = {f"{few:,} steps": rounds[few] for few in rounds if few * 10 == size}
            measured.append(row(f"{shape}, {size:,} steps", "s", rounds[size], smaller))
            rows.append((shape, f"{size:,}", f"{jobs[size]:,}", f"{build_s:.4f}", f"{plan_s:.4f}"))
            numbers[f"{shape}, {size}"] = {"build_s": build_s, "plan_s": plan_s}
        for fewer, more in pairwise(sizes):
            what = f"{shape}, {fewer:,} → {more:,} steps"
            targets.append(Limit(what, totals[more] / totals[fewer], GROWTH, "times as long"))
    catalog = load_catalog()
    offline = offline_targets(catalog)
    needs = requests(500 * options.repetitions)
    all_ms = [selection_ms(offline, catalog, needs) for _ in range(options.repetitions)]
    taken_ms = min(all_ms)
    what = f"a selection among {len(catalog.types)} instance types"
    targets.append(Limit(what, taken_ms, SELECTION_MS, "ms"))
    measured.append(row(what, "s", [each_ms / 1000 for each_ms in all_ms]))
    numbers["selection"] = {"each_ms": taken_ms, "types": len(catalog.types)}
    columns = ("graph", "steps", "jobs", "build(), s", "plan(), s")
    notes = (
        f"processor time, the minimum of {options.repetitions} repetitions",
        "plan() includes another build",
    )
    report(columns, rows, (), notes)
    plans, limits, numbers["first plans"] = first_plans(options.repetitions, measured)
    columns_of_plans = (
        *("first plan of a process", "steps", "edges", "first, s", "again, s", "graphlib, s"),
        "KiB per step",
    )
    notes = (
        "processor time with the garbage collector; a first plan imports modules and reads the "
        "catalog, as the row of one step shows",
        "graphlib: its sort of the same graph, in the same process",
    )
    targets += limits
    return report(columns_of_plans, plans, targets, notes, numbers, options.json, measured)


if __name__ == "__main__":
    sys.exit(main())
