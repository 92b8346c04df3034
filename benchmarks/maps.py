"""AWS calls, memory and time of a client with a map of many items on AWS Batch.

The items run in jobs of 20. The jobs never start: this program writes their values and results as
their runners would. Then the list of all values is read, as a job reads it, and in the client. AWS
is the emulator on this machine.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._measuring import Target, argument_parser, peak_mib, report
from benchmarks._results import row
from benchmarks.load import Client, a_client, look
from flowyml_aws.core.errors import MissingExtraError

if TYPE_CHECKING:
    from flowyml_aws.runtime.attempt import Attempt

ITEMS, ITEMS_PER_JOB = 10_000, 20
MAX_PLANNING_S = 1.0
MAX_RSS_MIB = 200.0
_AT_ONCE = 8
_LISTS = _LIST_IN_JOB, _LIST_IN_CLIENT = "list in a job", "list in the client"

PIPELINE = """\
from flowyml_aws import Pipeline, step

@step(outputs=["squares"])
def square(number: int):
    return number * number

@step(inputs=["squares"], outputs=["total"])
def total(squares):
    return sum(squares)

def squares(items, items_per_job):
    mapped = square.map(grid={"number": range(items)}, items_per_job=items_per_job)
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
        _LIST_IN_CLIENT: read_list,
    }
    for line in sys.stdin:
        name, arguments = json.loads(line)
        started = time.monotonic()
        value = functions[name](*arguments)
        print(json.dumps([value, time.monotonic() - started, peak_mib()]), flush=True)


def plan(items: int, items_per_job: int) -> tuple[int, float]:
    """Return the number of jobs, and the seconds of processor time."""
    from maps_pipeline import squares  # type: ignore[import-not-found]  # PIPELINE

    started = time.process_time()
    jobs = squares(items, items_per_job).plan(backend="batch", cache=False).jobs
    return len(jobs), time.process_time() - started


def submit(items: int, items_per_job: int) -> str:
    from maps_pipeline import squares

    run_id: str = squares(items, items_per_job).submit(backend="batch", cache=False).id
    return run_id


def read_list(run_id: str) -> int:
    """Return the sum of the list of all values."""
    from flowyml_aws import Run

    return sum(Run.attach(run_id).wait()["squares"])


# The measurements, in the process of the emulator.


def write_results(aws: Any, run_id: str) -> Attempt:
    """Write the values and the result of each job, as its runner does.

    Returns:
        An attempt of the job that reads the list of all values.
    """
    from flowyml_aws.aws.s3.store import S3ArtifactStore
    from flowyml_aws.core.maps import index_of
    from flowyml_aws.runtime.attempt import Attempt
    from flowyml_aws.runtime.result import StepState
    from flowyml_aws.submission.record import read_record, read_spec

    store = S3ArtifactStore.from_uri(aws.client("s3"), aws.environment["FLOWYML_AWS_STORE"])
    record = read_record(store, run_id)

    def end(job: str) -> Attempt:
        spec = read_spec(store, record, job)
        attempt = Attempt.begin(spec, store, 1)
        for step in spec.steps:
            started = time.time()
            attempt.progress.update(step.name, state=StepState.RUNNING, started_at=started)
            attempt.progress.update(step.name, state=StepState.SUCCEEDED, ended_at=started + 1.234)
            values = {asset: (index_of(asset) or 0) ** 2 for asset in step.stored}
            attempt.outputs.add(attempt.outputs.store_large(values), lambda: None)
        attempt.outputs.flush()
        attempt.commit("succeeded")
        return attempt

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        attempts = list(pool.map(end, record.specs))
    (reader,) = [attempt for attempt in attempts if attempt.spec.gathered]
    return reader


def read_list_in_job(
    aws: Any, reader: Attempt, folder: Path
) -> tuple[int, float, Sequence[tuple[str, str]]]:
    """Read the list of all values as a job does. Return their sum, the seconds and the calls."""
    from flowyml_aws.runtime.inputs import JobInputs

    aws.calls.clear()
    started = time.monotonic()
    values = JobInputs(reader, folder).load(["squares"])["squares"]
    seconds = time.monotonic() - started
    return sum(values), seconds, [(call.operation, call.resource) for call in aws.calls]


def reads(calls: Sequence[tuple[str, str]]) -> int:
    """Return the number of reads of results and values, not of the run's own documents."""
    return sum(
        operation == "GetObject" and ("/jobs/" in resource or "/artifacts/" in resource)
        for operation, resource in calls
    )


@dataclass(frozen=True)
class Operation:
    """A measured operation.

    Attributes:
        seconds: Processor time of the plan; otherwise wall time, which includes the emulator.
        calls: AWS calls, with the resource of each.
    """

    name: str
    seconds: float
    calls: Sequence[tuple[str, str]]

    @property
    def counts(self) -> Counter[str]:
        return Counter(operation for operation, _ in self.calls)


def measure(
    aws: Any, client: Client, items: int, items_per_job: int, folder: Path
) -> Iterator[Operation]:
    """Yield the operations in the order of a run."""

    def ask(name: str, *arguments: object) -> tuple[Any, Operation]:
        value, seconds, calls = client.ask(name, *arguments)
        print(f"{name}: {len(calls)} calls, {seconds:.2f} s", file=sys.stderr)
        return value, Operation(name, seconds, calls)

    client.ask("plan", 2, 1)  # imports, and facts of the account that are kept
    (jobs, seconds), planned = ask("plan", items, items_per_job)
    yield replace(planned, seconds=seconds)
    run_id, submitted = ask("submit", items, items_per_job)
    yield submitted
    for _ in range(2):
        yield ask("live view", run_id)[1]
    reader = write_results(aws, run_id)
    seen, ended = ask("attach", run_id)
    assert seen == {"succeeded": jobs}, seen
    yield ended
    total = sum(number**2 for number in range(items))
    in_job, seconds, calls = read_list_in_job(aws, reader, folder)
    yield Operation(_LIST_IN_JOB, seconds, calls)
    in_client, read = ask(_LIST_IN_CLIENT, run_id)
    assert in_job == in_client == total, (in_job, in_client, total)
    yield read


def main() -> int:
    parser = argument_parser(__doc__, repetitions=1)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--items-per-job", type=int, default=ITEMS_PER_JOB)
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
        measured = list(measure(aws, client, items, options.items_per_job, Path(folder)))
    rows, table = [], []
    for number, operation in enumerate(measured, 1):
        counts = operation.counts
        common = ", ".join(f"{count} {kind}" for kind, count in counts.most_common(4))
        calls, seconds = f"{counts.total():,}", f"{operation.seconds:.2f}"
        rows.append((operation.name, f"{items:,}", calls, seconds, common))
        what = f"{items:,} items, {number}. {operation.name}"
        table.append(row(f"{what}: calls", "calls", [counts.total()], {"items": items}))
        table.append(row(f"{what}: time", "s", [operation.seconds]))
    peak = [client.peak_mib]
    table.append(row(f"{items:,} items: memory", "MiB", peak, {"the limit": MAX_RSS_MIB}))
    lists = [operation for operation in measured if operation.name in _LISTS]
    run = [each for each in measured if each.name != "plan" and each.name not in _LISTS]
    total = sum(len(operation.calls) for operation in run)
    targets = [
        Target("planning", measured[0].seconds, MAX_PLANNING_S, "s of processor time"),
        Target("calls from submission to result", total, 20 + items / 100, "calls"),
        *(Target(each.name, reads(each.calls), items / 20, "reads") for each in lists),
        Target("resident memory of the client", client.peak_mib, MAX_RSS_MIB, "MiB"),
    ]
    numbers = {
        f"{number} {operation.name}": {"calls": dict(operation.counts), "s": operation.seconds}
        for number, operation in enumerate(measured, 1)
    }
    columns = ("operation", "items", "calls", "s", "most calls")
    return report(columns, rows, targets, [], numbers, options.json, table)


if __name__ == "__main__":
    sys.exit(main())
