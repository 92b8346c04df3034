"""`make chaos`: execute schedules, and report the invariants that do not hold.

    python -m tests.chaos --backend batch --seed 7 --schedules 20

The exit code is 1 if an invariant is broken.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.chaos.execution import execute
from tests.chaos.invariants import broken_invariants
from tests.chaos.schedule import BACKENDS, describe, draw_schedule
from tests.chaos.stage import Stage, open_stage

__all__ = ["main", "run_schedules"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute the schedules of the arguments, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make chaos", description="Pipelines under faults.")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first schedule")
    parser.add_argument("--schedules", type=int, default=10, help="number of each backend")
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="default: all")
    parser.add_argument("--dry-run", action="store_true", help="only print the schedules")
    options = parser.parse_args(arguments)
    seeds = range(options.seed, options.seed + options.schedules)
    backends = options.backend or BACKENDS
    if options.dry_run:
        for backend in backends:
            for seed in seeds:
                print(describe(draw_schedule(seed, backend)))
        return 0
    broken = 0
    for backend in backends:
        began = time.monotonic()
        with open_stage(with_account=backend != "local") as stage:
            found = sum(run_schedules(stage, backend, seed) for seed in seeds)
        seconds = time.monotonic() - began
        print(f"{backend}: {len(seeds)} schedules in {seconds:.0f} s, {found} broken invariants")
        broken += found
    return 1 if broken else 0


def run_schedules(stage: Stage, backend: str, seed: int) -> int:
    """Execute the schedule of a seed, print what is broken, and return the number."""
    schedule = draw_schedule(seed, backend)
    evidence = execute(schedule, stage)
    broken = broken_invariants(schedule, evidence)
    states = ", ".join(run.state for run in evidence.runs)
    faults = "".join(f", {number} {kind}" for kind, number in evidence.faults.items())
    line = f"{backend} {seed}: {states or 'no run'}, {evidence.seconds:.1f} s{faults}"
    print(line, flush=True)
    if broken:
        print("\n".join(f"  BROKEN: {sentence}" for sentence in broken))
        print(describe(schedule))
        print(f"  replay: make chaos CHAOS='--backend {backend} --seed {seed} --schedules 1'")
        sys.stdout.flush()
    return len(broken)


if __name__ == "__main__":
    raise SystemExit(main())
