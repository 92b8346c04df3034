"""Time to the first step: `import flowyml_aws`, a command, and the start of a job's runner.

A job of one step is run once. Then its runner is started repeatedly, as the backends start it, and
timed until the body of the step begins. All times are compared with `python -c "import boto3"`, and
the runner with S3 also with the import and the creation of a client, without which no job uses S3.

The first line of a run on this machine is compared with a Python that imports the same modules and
ends: of a program that has changed, which is loaded once before the job, and of one that has not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from benchmarks._measuring import (
    Target,
    arguments,
    clean_environment,
    command,
    interleaved,
    report,
)
from benchmarks._results import row
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.core.errors import MissingExtraError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.settings.model import Settings
from flowyml_aws.submission.record import read_record

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_RATIO = 2.0  # times `import boto3`
MAX_CLIENT_RATIO = 1.3  # times the import and an S3 client
MAX_COMMAND_RATIO = 3.5
MAX_CHANGED_RATIO, MAX_UNCHANGED_RATIO = 2.3, 1.3  # times the imports of the run
HELP = "flowyml-aws --help"
CLIENT = "import boto3, create an S3 client"
ON_S3 = "runner to first step, S3 (emulated)"

# Written to a separate file, like users' pipelines.
PIPELINE = """\
import time
from flowyml_aws import Pipeline, step

@step
def first():
    print("first step at", time.monotonic(), flush=True)

pipeline = Pipeline("startup").add_step(first)
"""

RUN_HERE = """\
import sys
import time
from flowyml_aws import Pipeline, step

@step
def first():
    print("first step at", time.monotonic(), flush=True)

if __name__ == "__main__":
    run = Pipeline("here").add_step(first).submit(cache=False)
    run.wait()
    print(*(line.message for line in run.logs()))
"""
IMPORTS_OF_RUN = """\
from flowyml_aws import Pipeline
import flowyml_aws.client.launch, flowyml_aws.client.run
import flowyml_aws.services.local.service
"""

SUBMIT = """\
import sys
from pipeline import pipeline

result = pipeline.run(backend=sys.argv[1], progress=False)
assert result.success, result.summary()
print(result.run_id)
"""
JOB = "first"
IMPORTED = "the imports of a run here"
CHANGED = "run here to first line, changed program"
UNCHANGED = "run here to first line, unchanged program"


def until_exit(code: str, environment: Mapping[str, str], folder: Path) -> float:
    """Return the seconds from the start to the end of `python -c …`."""
    started = time.monotonic()
    command("-c", code, environment=environment, folder=folder)
    return time.monotonic() - started


def until_first_step(
    argument: str, delete_traces: Callable[[], object], environment: Mapping[str, str], folder: Path
) -> float:
    """Return the seconds from the start of a runner to the body of its step."""
    delete_traces()  # a job with a result, a claim or ended steps does not run again
    started = time.monotonic()
    output = command("-m", "flowyml_aws.job", argument, environment=environment, folder=folder)
    # The monotonic clock is the same for all processes of the machine.
    return float(output.rpartition("first step at ")[2].split()[0]) - started


def until_first_line(is_changed: bool, environment: Mapping[str, str], folder: Path) -> float:
    """Return the seconds from the start of a program to the first line of its step here."""
    program = folder / "here.py"
    if is_changed:
        program.write_text(f"{RUN_HERE}# {time.monotonic()}\n", "utf-8")
    started = time.monotonic()
    output = command("here.py", environment=environment, folder=folder)
    return float(output.rpartition("first step at ")[2].split()[0]) - started


def a_job(
    backend: str, store: ArtifactStore, environment: Mapping[str, str], project: Path
) -> tuple[str, str]:
    """Run the pipeline; return the runner's argument and the prefix of what the job wrote."""
    project.joinpath("pipeline.py").write_text(PIPELINE, "utf-8")
    output = command("-c", SUBMIT, backend, environment=environment, folder=project)
    layout = RunLayout(output.split()[-1])
    record = read_record(store, layout.run_id)
    return record.spec_argument(JOB, store.uri), f"{layout.jobs}{JOB}"


def delete_objects(client: S3Client, bucket: str, prefix: str) -> None:
    for entry in client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ()):
        client.delete_object(Bucket=bucket, Key=entry["Key"])


def main() -> int:
    options = arguments(__doc__, repetitions=15)
    try:
        from flowyml_aws.testing import Emulator
    except MissingExtraError as error:
        sys.exit(f"error: {error}")
    plain = clean_environment()
    with tempfile.TemporaryDirectory() as folder, Emulator() as aws:
        local, batch, job, here = (Path(folder, name) for name in ("local", "batch", "job", "here"))
        for project in (local, batch, job, here):
            project.mkdir()
        (here / "pyproject.toml").touch()  # a project, which will contain the store
        directory = DirectoryArtifactStore(local / Settings().local_store)
        argument, traces = a_job("local", directory, plain, local)
        delete_traces = partial(rmtree, directory.path(traces), ignore_errors=True)
        on_directory = partial(until_first_step, argument, delete_traces, plain, job)

        account = {**plain, **aws.environment}
        s3 = S3ArtifactStore.from_uri(aws.client("s3"), account["FLOWYML_AWS_STORE"])
        argument, traces = a_job("batch", s3, account, batch)
        bucket, _, prefix = s3.uri.removeprefix("s3://").partition("/")
        delete_traces = partial(delete_objects, aws.client("s3"), bucket, f"{prefix}/{traces}/")
        on_s3 = partial(until_first_step, argument, delete_traces, account, job)

        codes = {
            "python": "pass",
            "import boto3": "import boto3",
            CLIENT: "import boto3; boto3.client('s3')",
            HELP: "import sys; sys.argv[1:] = ['--help']; from flowyml_aws.cli import main; main()",
            "import flowyml_aws": "import flowyml_aws",
        }
        measures = {name: partial(until_exit, codes[name], account, job) for name in codes}
        measures["runner to first step, directory"] = on_directory
        measures[ON_S3] = on_s3
        measures[IMPORTED] = partial(until_exit, IMPORTS_OF_RUN, plain, here)
        measures[CHANGED] = partial(until_first_line, True, plain, here)
        measures[UNCHANGED] = partial(until_first_line, False, plain, here)
        times = interleaved(measures, options.repetitions)

    boto3_s = times["import boto3"].median_s
    rows = [
        (name, f"{t.min_s:.3f}", f"{t.median_s:.3f}", f"{t.median_s / boto3_s:.2f}")
        for name, t in times.items()
    ]
    targets = [
        Target(f"{name} / import boto3", times[name].median_s / boto3_s, MAX_RATIO, "times as long")
        for name in ("import flowyml_aws", "runner to first step, directory")
    ]
    ratio = times[ON_S3].median_s / times[CLIENT].median_s
    targets.append(Target(f"{ON_S3} / {CLIENT}", ratio, MAX_CLIENT_RATIO, "times as long"))
    ratio = times[HELP].median_s / boto3_s
    targets.append(Target(f"{HELP} / import boto3", ratio, MAX_COMMAND_RATIO, "times as long"))
    measured = [
        row(name, "s", t.all_s, {"import boto3": times["import boto3"].all_s})
        for name, t in times.items()
        if name in (HELP, "import flowyml_aws", "runner to first step, directory")
    ]
    measured.append(row(ON_S3, "s", times[ON_S3].all_s, {"with a client": times[CLIENT].all_s}))
    measured += [
        row(name, "s", times[name].all_s, {"its imports": times[IMPORTED].all_s})
        for name in (CHANGED, UNCHANGED)
    ]
    peers = [name for name in times if name not in {each.name for each in measured}]
    measured += [row(name, "s", times[name].all_s) for name in peers]
    targets += [
        Target(
            f"{name} / its imports",
            times[name].median_s / times[IMPORTED].median_s,
            most,
            "times as long",
        )
        for name, most in ((CHANGED, MAX_CHANGED_RATIO), (UNCHANGED, MAX_UNCHANGED_RATIO))
    ]
    numbers = {name: {"least_s": t.min_s, "median_s": t.median_s} for name, t in times.items()}
    note = f"of {options.repetitions} repetitions in turn; the targets compare medians"
    columns = ("process", "minimum, s", "median, s", "/ boto3")
    return report(columns, rows, targets, [note], numbers, options.json, measured)


if __name__ == "__main__":
    sys.exit(main())
