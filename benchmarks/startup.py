"""How soon the first step runs: what `import flowyml_aws` costs, and what a job does before it.

A job of one step is run once. Then its runner is started again and again as the backends start it,
and timed until the body of the step begins. Everything is compared with `python -c "import boto3"`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks._measuring import (
    Target,
    arguments,
    clean_environment,
    command,
    interleaved,
    tell,
)
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.aws.s3 import S3ArtifactStore
from flowyml_aws.core.errors import MissingExtraError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.settings import Settings
from flowyml_aws.submission.record import read_record

AT_MOST = 2.0  # times `import boto3`

# Written to a file of its own, as users' pipelines are.
PIPELINE = """\
import time
from flowyml_aws import Pipeline, step

@step
def first():
    print("first step at", time.monotonic(), flush=True)

pipeline = Pipeline("startup").add_step(first)
"""

SUBMIT = """\
import sys
from pipeline import pipeline

result = pipeline.run(backend=sys.argv[1], progress=False)
assert result.success, result.summary()
print(result.run_id)
"""
JOB = "first"


def until_exit(code: str, environment: Mapping[str, str], folder: Path) -> float:
    """Seconds that `python -c …` takes, from its start to its end."""
    started = time.monotonic()
    command("-c", code, environment=environment, folder=folder)
    return time.monotonic() - started


def until_first_step(
    argument: str, forget: Callable[[], object], environment: Mapping[str, str], folder: Path
) -> float:
    """Seconds from the start of a runner to the body of its step."""
    forget()  # a job with a result does not run again
    started = time.monotonic()
    told = command("-m", "flowyml_aws.runtime", argument, environment=environment, folder=folder)
    # This clock is the machine's, the same for both processes.
    return float(told.rpartition("first step at ")[2].split()[0]) - started


def a_job(
    backend: str, store: ArtifactStore, environment: Mapping[str, str], project: Path
) -> tuple[str, str]:
    """Run the pipeline, and return its runner's argument and the key of its job's result."""
    project.joinpath("pipeline.py").write_text(PIPELINE, "utf-8")
    told = command("-c", SUBMIT, backend, environment=environment, folder=project)
    layout = RunLayout(told.split()[-1])
    digest = read_record(store, layout.run_id).specs[JOB]
    return f"{store.uri}/{layout.spec(JOB)}#sha256={digest}", layout.result(JOB)


def main() -> int:
    options = arguments(__doc__, repetitions=15)
    try:
        from flowyml_aws.testing import Emulator
    except MissingExtraError as error:
        sys.exit(f"error: {error}")
    plain = clean_environment()
    with tempfile.TemporaryDirectory() as folder, Emulator() as aws:
        here, there, elsewhere = (Path(folder, name) for name in ("local", "batch", "job"))
        for project in (here, there, elsewhere):
            project.mkdir()
        directory = DirectoryArtifactStore(here / Settings().local_store)
        argument, result = a_job("local", directory, plain, here)
        on_directory = partial(
            until_first_step, argument, directory.path(result).unlink, plain, elsewhere
        )

        account = {**plain, **aws.environment}
        s3 = S3ArtifactStore.from_uri(aws.client("s3"), account["FLOWYML_AWS_STORE"])
        argument, result = a_job("batch", s3, account, there)
        bucket, _, prefix = s3.uri.removeprefix("s3://").partition("/")
        forget = partial(aws.client("s3").delete_object, Bucket=bucket, Key=f"{prefix}/{result}")
        on_s3 = partial(until_first_step, argument, forget, account, elsewhere)

        codes = {
            "python": "pass",
            "import boto3": "import boto3",
            "import boto3, make a client of S3": "import boto3; boto3.client('s3')",
            "import flowyml_aws": "import flowyml_aws",
        }
        measures = {name: partial(until_exit, codes[name], account, elsewhere) for name in codes}
        measures["runner to first step, directory"] = on_directory
        measures["runner to first step, S3 (emulated)"] = on_s3
        times = interleaved(measures, options.repetitions)

    boto3_s = times["import boto3"].median_s
    rows = [
        (name, f"{t.least_s:.3f}", f"{t.median_s:.3f}", f"{t.median_s / boto3_s:.2f}")
        for name, t in times.items()
    ]
    targets = [
        Target(f"{name} / import boto3", times[name].median_s / boto3_s, AT_MOST, "times as long")
        for name in list(measures)[3:]
    ]
    numbers = {name: {"least_s": t.least_s, "median_s": t.median_s} for name, t in times.items()}
    note = f"of {options.repetitions} repetitions in turn; the targets compare medians"
    columns = ("what a new process does", "least, s", "median, s", "/ boto3")
    return tell(columns, rows, targets, [note], numbers, options.json)


if __name__ == "__main__":
    sys.exit(main())
