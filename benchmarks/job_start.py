"""Start of a job in a container, to the first line of its step.

A pipeline of one step runs on the emulated AWS Batch, whose jobs are containers of `--image`, an
image that `flowyml-aws image build` has made. The reference is a container of the same image that
imports boto3 and creates an S3 client. The parts of the start are those of the run's report.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks._measuring import (
    Target,
    Times,
    argument_parser,
    clean_environment,
    command,
    report,
)
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.images.engine import Engine, find_engine
from flowyml_aws.report.data import RunReport
from flowyml_aws.submission.starts import JobStart, StartKind
from flowyml_aws.testing import Emulator

MAX_RATIO = 1.5
REFERENCE = "container: import boto3, create an S3 client"
JOB = "job: start to the first line of its step"
CLIENT = "import time, boto3; boto3.client('s3', region_name='us-east-1'); print(time.time())"

PIPELINE = """\
from flowyml_aws import Pipeline, step

@step(cache=False)
def first():
    pass

pipeline = Pipeline("start").add_step(first)
"""

RUN = """\
from flowyml_aws import Run
from pipeline import pipeline

result = pipeline.run(backend="batch", progress=False)
assert result.success, result.summary()
print(Run.attach(result.run_id).report_data().to_json().decode())
"""


def reference_s(engine: Engine, image: str) -> float:
    """Return the seconds from the start of a container to the end of its program."""
    arguments = ["run", "--rm", "--network", "host", image, "python", "-c", CLIENT]
    started = time.time()
    done = subprocess.run([engine.program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {engine.name} {' '.join(arguments)}\n{done.stderr}")
    return float(done.stdout.split()[-1]) - started


def job_start(environment: Mapping[str, str], project: Path) -> JobStart:
    """Run the pipeline, and return the parts of the start of its job."""
    output = command("-c", RUN, environment=environment, folder=project)
    (job,) = RunReport.model_validate_json(output).jobs
    if job.start is None or job.start.seconds is None:
        sys.exit(f"error: the start of the job is not known as a whole: {job.start}")
    return job.start


def seconds_on_machine(start: JobStart) -> float:
    """Return the seconds from the start of the container: those after the queue."""
    return sum(p.seconds for p in start.parts if StartKind.QUEUE not in p.kinds)


def main() -> int:
    parser = argument_parser(__doc__, repetitions=9)
    parser.add_argument("--image", required=True, help="image of a project, in the local engine")
    options = parser.parse_args()
    starts, references = [], []
    try:
        engine = find_engine()
        with tempfile.TemporaryDirectory() as folder, Emulator(containers=options.image) as aws:
            Path(folder, "pipeline.py").write_text(PIPELINE, "utf-8")
            # The client polls as seldom as that of a user: it shares the machine with the job.
            environment = {**clean_environment(), **aws.environment, "FLOWYML_AWS_POLL_S": "5"}
            job_start(environment, Path(folder))  # warm-up
            reference_s(engine, options.image)
            for _ in range(options.repetitions):
                starts.append(job_start(environment, Path(folder)))
                references.append(reference_s(engine, options.image))
    except FlowymlError as error:
        sys.exit(f"error: {error}")
    times = {
        REFERENCE: Times(tuple(references)),
        JOB: Times(tuple(map(seconds_on_machine, starts))),
    }
    base_s = times[REFERENCE].median_s
    rows = [
        (name, f"{t.min_s:.3f}", f"{t.median_s:.3f}", f"{t.median_s / base_s:.2f}")
        for name, t in times.items()
    ]
    for kind in StartKind:
        parts = [part.seconds for start in starts if (part := start.part_of(kind))]
        if parts:
            rows.append((f"  {kind.value}", f"{min(parts):.3f}", f"{median(parts):.3f}", ""))
    return report(
        ("process", "minimum, s", "median, s", "/ container"),
        rows,
        [Target(f"{JOB} / {REFERENCE}", times[JOB].median_s / base_s, MAX_RATIO, "times as long")],
        [f"of {options.repetitions} repetitions in turn; the target compares medians"],
        {name: {"least_s": t.min_s, "median_s": t.median_s} for name, t in times.items()},
        options.json,
    )


if __name__ == "__main__":
    sys.exit(main())
