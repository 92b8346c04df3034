"""AWS calls, memory and time of a client with runs of many jobs on AWS Batch.

One run of 1,000 jobs is really executed, and one is cancelled. A larger one waits: its jobs never
start, and this program writes their results as their runners would. AWS is the emulator on this
machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from benchmarks._measuring import Target, argument_parser, clean_environment, peak_mib, report
from benchmarks._results import Row, row
from flowyml_aws.core.errors import MissingExtraError

EXECUTED, CANCELLED, WAITING = 1_000, 1_000, 10_000
PARTS = ("waiting", "cancelled", "executed")
MAX_RSS_MIB = 150.0
_AT_ONCE = 8  # calls of the client, and of the bare loop
_USER = "flowyml-emulator-user"  # the role of clients; jobs have another
_REPLAYED = {
    *("SubmitJob", "DescribeJobs", "TerminateJob"),
    *("GetObject", "HeadObject", "PutObject", "ListObjectsV2"),
}

PIPELINE = """\
from flowyml_aws import Pipeline, step

def part(number):
    @step(name=f"part_{number}", outputs=[f"value_{number}"], cache=False)
    def give():
        return number
    return give

def wide(jobs):
    return Pipeline("load").add_steps([part(number) for number in range(jobs)])
"""


# The client: a process of its own, which reads requests from standard input.


def serve() -> None:
    """Answer requests: each is a line of JSON with the name of a function and its arguments."""
    sys.path.insert(0, str(Path.cwd()))
    functions: dict[str, Callable[..., Any]] = {
        "submit": submit,
        "status": lambda run_id: look(run_id, "status"),
        "live view": lambda run_id: look(run_id, "advance"),
        "attach": lambda run_id: look(run_id, "wait"),
        "logs": count_log_lines,
        "cancel": cancel,
        "replay": replay,
    }
    for line in sys.stdin:
        name, arguments = json.loads(line)
        started = time.monotonic()
        value = functions[name](*arguments)
        seconds = time.monotonic() - started
        print(json.dumps([value, seconds, peak_mib()]), flush=True)


def submit(jobs: int) -> str:
    # This process writes the module.
    from load_pipeline import wide  # type: ignore[import-not-found]

    run_id: str = wide(jobs).submit(backend="batch", cache=False).id
    return run_id


def look(run_id: str, method: str) -> dict[str, int]:
    """Return the number of jobs by state."""
    from flowyml_aws import Run

    seen = getattr(Run.attach(run_id), method)()
    jobs = seen.status.jobs if method == "wait" else seen.jobs
    return dict(Counter(view.state.value for view in jobs))


def count_log_lines(run_id: str) -> int:
    from flowyml_aws import Run

    return sum(1 for _ in Run.attach(run_id).logs())


def cancel(run_id: str) -> None:
    from flowyml_aws import Run

    Run.attach(run_id).cancel()


def replay(calls: Sequence[tuple[str, str]], run_id: str) -> int:
    """Make the same calls with boto3 and nothing else, and return their number."""
    import boto3
    from botocore.config import Config

    from flowyml_aws.services.connect import find_run

    job = find_run(run_id).plan.jobs[0]
    config = Config(max_pool_connections=_AT_ONCE)
    s3: Any = boto3.client("s3", config=config)
    batch: Any = boto3.client("batch", config=config)
    definition = batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"][0]
    ids = [job["jobId"] for job in batch.list_jobs(jobQueue=job.target)["jobSummaryList"]][:100]
    body = b"x" * 1000

    def call(number: int, operation: str, resource: str) -> None:
        bucket, _, key = resource.partition("/")
        if operation == "SubmitJob":
            batch.submit_job(
                jobName=f"bare-{number}",
                jobQueue=job.target,
                jobDefinition=definition["jobDefinitionArn"],
            )
        elif operation == "DescribeJobs":
            batch.describe_jobs(jobs=ids)
        elif operation == "TerminateJob":
            batch.terminate_job(jobId=resource, reason="load")
        elif operation == "GetObject":
            s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        elif operation == "HeadObject":
            s3.head_object(Bucket=bucket, Key=key)
        elif operation == "PutObject":
            s3.put_object(Bucket=bucket, Key=key.replace(run_id, "bare"), Body=body)
        else:
            s3.list_objects_v2(Bucket=bucket)

    def attempt(numbered: tuple[int, tuple[str, str]]) -> None:
        with suppress(s3.exceptions.ClientError):  # the client asks for objects that do not exist
            call(numbered[0], *numbered[1])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return len(list(pool.map(attempt, enumerate(calls))))


# The measurements, in the process of the emulator.


class Client:
    """A client in a process of its own."""

    def __init__(self, requests: IO[str], answers: IO[str], aws: Any) -> None:
        self._requests, self._answers, self._aws = requests, answers, aws
        self.peak_mib = 0.0

    def ask(self, name: str, *arguments: object) -> tuple[Any, float, list[tuple[str, str]]]:
        """Return the answer to a request, its time in seconds, and the client's calls to AWS."""
        self._aws.requests.clear()
        self._requests.write(json.dumps([name, arguments]) + "\n")
        self._requests.flush()
        line = self._answers.readline()
        if not line:
            sys.exit(f"the client failed at {name}")
        value, seconds, peak = json.loads(line)
        self.peak_mib = peak
        own = [request for request in self._aws.requests if request.caller == _USER]
        return value, seconds, [(r.call.operation, r.call.resource) for r in own]


@contextmanager
def a_client(
    aws: Any, folder: Path, benchmark: str = "load", pipeline: str = PIPELINE
) -> Iterator[Client]:
    """Start the client of a benchmark with the emulator's settings."""
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    (folder / f"{benchmark}_pipeline.py").write_text(pipeline, "utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{benchmark}", "--client"],
        env={**clean_environment(), **aws.environment},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Client(process.stdin, process.stdout, aws)
        finally:
            process.stdin.close()


def write_results(aws: Any, run_id: str) -> None:
    """Write the events, the result and its summary of each job, as its runner does."""
    from flowyml_aws.aws.s3.store import S3ArtifactStore
    from flowyml_aws.runtime.attempt import Attempt
    from flowyml_aws.runtime.result import AttemptEvents, StepState
    from flowyml_aws.submission.record import read_record, read_spec

    store = S3ArtifactStore.from_uri(aws.client("s3"), aws.environment["FLOWYML_AWS_STORE"])
    record = read_record(store, run_id)

    def end(job: str) -> None:
        spec = read_spec(store, record, job)
        attempt = Attempt.begin(spec, store, 1)
        for step in spec.steps:
            started = time.time()
            attempt.progress.update(step.name, state=StepState.RUNNING, started_at=started)
            attempt.progress.update(step.name, state=StepState.SUCCEEDED, ended_at=started + 1.234)
        events = AttemptEvents(attempt=1, steps=attempt.progress.reports, assets={})
        store.put(f"runs/{run_id}/jobs/{job}/attempts/1/events.json", events.to_json())
        attempt.commit("succeeded")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(end, record.specs))


class Table:
    """Rows and targets of all measurements."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []
        self.targets: list[Target] = []
        self.numbers: dict[str, Any] = {}
        self.measured: list[Row] = []

    def add(
        self,
        name: str,
        jobs: int,
        calls: Sequence[tuple[str, str]],
        seconds: float,
        most: float,
        bare_s: float | None = None,
    ) -> None:
        kinds = Counter(operation for operation, _ in calls)
        common = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
        ratio = "" if bare_s is None else f"{seconds / bare_s:.2f}"
        print(f"{name}, {jobs:,} jobs: {len(calls):,} calls", file=sys.stderr)  # it takes long
        self.rows.append((name, f"{jobs:,}", f"{len(calls):,}", f"{seconds:.1f}", ratio, common))
        self.targets.append(Target(f"{name}, {jobs:,} jobs", len(calls), most, "calls"))
        self.numbers[f"{name}, {jobs} jobs"] = {"calls": kinds, "s": seconds, "bare_s": bare_s}
        what = f"{name}, {jobs:,} jobs"
        self.measured.append(row(f"{what}: calls", "calls", [len(calls)], {"jobs": jobs}))
        bare = {} if bare_s is None else {"boto3": bare_s}
        self.measured.append(row(f"{what}: time", "s", [seconds], bare))


def look_calls(jobs: int) -> float:
    return 20 + jobs / 40


def measure_waiting(aws: Any, client: Client, other: Client, jobs: int, table: Table) -> None:
    """Measure a run none of whose jobs starts, and compare it with bare loops of boto3.

    Another client makes the calls of the loops, whose memory is not that of the first one.
    """

    def bare(calls: Sequence[tuple[str, str]]) -> float:
        same = [call for call in calls if call[0] in _REPLAYED]
        _, seconds, _ = other.ask("replay", same, run_id)
        return seconds

    run_id, seconds, calls = client.ask("submit", jobs)
    table.add("submit", jobs, calls, seconds, jobs + jobs / 50 + 20, bare(calls))
    for name in ("status", "live view", "logs"):
        _, seconds, calls = client.ask(name, run_id)
        table.add(f"{name}, waiting", jobs, calls, seconds, look_calls(jobs), bare(calls))
    write_results(aws, run_id)
    for name in ("status", "attach"):
        seen, seconds, calls = client.ask(name, run_id)
        assert seen == {"succeeded": jobs}, seen
        table.add(f"{name}, ended", jobs, calls, seconds, look_calls(jobs), bare(calls))


def measure_cancel(client: Client, jobs: int, table: Table) -> None:
    run_id, _, _ = client.ask("submit", jobs)
    _, seconds, calls = client.ask("cancel", run_id)
    table.add("cancel", jobs, calls, seconds, jobs + look_calls(jobs))


def measure_executed(client: Client, jobs: int, table: Table) -> None:
    """Measure a run whose jobs are processes on this machine."""
    run_id, seconds, calls = client.ask("submit", jobs)
    table.add("submit, executed", jobs, calls, seconds, jobs + jobs / 50 + 20)
    most, ended, polls = 0, 0, 0
    started = time.monotonic()
    while ended < jobs:
        seen, _, calls = client.ask("status", run_id)
        ended = seen.get("succeeded", 0) + seen.get("failed", 0)
        most, polls = max(most, len(calls)), polls + 1
    assert seen == {"succeeded": jobs}, seen
    minutes = (time.monotonic() - started) / 60
    largest = [("status", "")] * most
    table.add(f"status, largest of {polls}", jobs, largest, minutes * 60, look_calls(jobs))


def main() -> int:
    parser = argument_parser(__doc__, repetitions=1)
    parser.add_argument("--executed", type=int, default=EXECUTED, metavar="JOBS")
    parser.add_argument("--cancelled", type=int, default=CANCELLED, metavar="JOBS")
    parser.add_argument("--waiting", type=int, default=WAITING, metavar="JOBS")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this measurement")
    parser.add_argument("--client", action="store_true", help="be the client of a measurement")
    options = parser.parse_args()
    if options.client:
        serve()
        return 0
    try:
        from flowyml_aws.testing import Capacity, Emulator
    except MissingExtraError as error:
        sys.exit(f"error: {error}")
    table = Table()
    parts = options.part or PARTS
    nothing, some = Capacity(vcpus=0, memory_mib=0), Capacity(vcpus=4, memory_mib=8192)
    peaks_mib = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            capacity = some if part == "executed" else nothing
            with (
                Emulator(keep_requests=True, capacity=capacity) as aws,
                a_client(aws, Path(folder, part)) as client,
            ):
                if part == "waiting":
                    with a_client(aws, Path(folder, "replaying")) as other:
                        measure_waiting(aws, client, other, options.waiting, table)
                elif part == "cancelled":
                    measure_cancel(client, options.cancelled, table)
                else:
                    measure_executed(client, options.executed, table)
            peaks_mib[part] = client.peak_mib
    table.targets.append(
        Target("resident memory of the client", max(peaks_mib.values()), MAX_RSS_MIB, "MiB")
    )
    for part, peak in peaks_mib.items():
        name = f"memory of the client, {part}, {getattr(options, part):,} jobs"
        table.measured.append(row(name, "MiB", [peak], {"the limit": MAX_RSS_MIB}))
    note = "/ boto3: time as a multiple of a loop that makes the same calls with boto3 alone"
    columns = ("operation", "jobs", "calls", "s", "/ boto3", "most calls")
    return report(
        *(columns, table.rows, table.targets, [note], table.numbers, options.json),
        measured=table.measured,
    )


if __name__ == "__main__":
    sys.exit(main())
