"""AWS calls, memory and time of a client with a map of many items on AWS Batch.

The items run in jobs of 20. The jobs never start: this program writes their results as their
runners would. AWS is the emulator on this machine.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks._measuring import Target, argument_parser, peak_mib, report
from benchmarks.load import Client, a_client, look, write_results
from flowyml_aws.core.errors import MissingExtraError

ITEMS, ITEMS_PER_JOB = 10_000, 20
MAX_PLANNING_S = 1.0
MAX_RSS_MIB = 200.0

PIPELINE = f"""\
from flowyml_aws import Pipeline, step

@step(outputs=["squares"])
def square(number: int):
    return number * number

@step(inputs=["squares"], outputs=["total"])
def total(squares):
    return sum(squares)

def squares(items):
    mapped = square.map(grid={{"number": range(items)}}, items_per_job={ITEMS_PER_JOB})
    return Pipeline("maps").add_steps([mapped, total])
"""


# The client: a process of its own, which reads requests from standard input.


def serve() -> None:
    """Answer requests: each is a line of JSON with the name of a function and its arguments."""
    sys.path.insert(0, str(Path.cwd()))
    functions: dict[str, Callable[..., Any]] = {
        "plan": plan,
        "submit": submit,
        "live view": lambda run_id: look(run_id, "advance"),
        "attach": lambda run_id: look(run_id, "wait"),
    }
    for line in sys.stdin:
        name, arguments = json.loads(line)
        started = time.monotonic()
        value = functions[name](*arguments)
        print(json.dumps([value, time.monotonic() - started, peak_mib()]), flush=True)


def plan(items: int) -> tuple[int, float]:
    """Return the number of jobs, and the seconds of processor time."""
    from maps_pipeline import squares  # type: ignore[import-not-found]  # PIPELINE

    started = time.process_time()
    jobs = squares(items).plan(backend="batch", cache=False).jobs
    return len(jobs), time.process_time() - started


def submit(items: int) -> str:
    from maps_pipeline import squares

    run_id: str = squares(items).submit(backend="batch", cache=False).id
    return run_id


# The measurements, in the process of the emulator.


def measure(aws: Any, client: Client, items: int) -> Iterator[tuple[str, float, Mapping[str, int]]]:
    """Yield the name, the seconds and the calls of each operation.

    The seconds of the plan are processor time, those of the others include the emulator.
    """

    def ask(name: str, argument: object) -> tuple[Any, tuple[str, float, Mapping[str, int]]]:
        value, seconds, calls = client.ask(name, argument)
        print(f"{name}: {len(calls)} calls, {seconds:.2f} s", file=sys.stderr)
        return value, (name, seconds, Counter(operation for operation, _ in calls))

    client.ask("plan", 2)  # imports, and facts of the account that are kept
    (jobs, seconds), (name, _, calls) = ask("plan", items)
    yield name, seconds, calls
    run_id, submitted = ask("submit", items)
    yield submitted
    for _ in range(2):
        yield ask("live view", run_id)[1]
    write_results(aws, run_id)
    seen, ended = ask("attach", run_id)
    assert seen == {"succeeded": jobs}, seen
    yield ended


def main() -> int:
    parser = argument_parser(__doc__, repetitions=1)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--client", action="store_true", help="be the client of a measurement")
    options = parser.parse_args()
    if options.client:
        serve()
        return 0
    try:
        from flowyml_aws.testing import Capacity, Emulator
    except MissingExtraError as error:
        sys.exit(f"error: {error}")
    items = options.items
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(keep_requests=True, capacity=Capacity(vcpus=0, memory_mib=0)) as aws,
        a_client(aws, Path(folder, "client"), "maps", PIPELINE) as client,
    ):
        measured = list(measure(aws, client, items))
    rows = []
    for name, seconds, calls in measured:
        common = ", ".join(f"{count} {kind}" for kind, count in Counter(calls).most_common(4))
        rows.append((name, f"{items:,}", f"{sum(calls.values()):,}", f"{seconds:.2f}", common))
    total = sum(sum(calls.values()) for name, _, calls in measured if name != "plan")
    targets = [
        Target("planning", measured[0][1], MAX_PLANNING_S, "s of processor time"),
        Target("calls from submission to result", total, 20 + items / 100, "calls"),
        Target("resident memory of the client", client.peak_mib, MAX_RSS_MIB, "MiB"),
    ]
    numbers = {
        f"{number} {name}": {"calls": dict(calls), "s": seconds}
        for number, (name, seconds, calls) in enumerate(measured, 1)
    }
    columns = ("operation", "items", "calls", "s", "most calls")
    return report(columns, rows, targets, [], numbers, options.json)


if __name__ == "__main__":
    sys.exit(main())
