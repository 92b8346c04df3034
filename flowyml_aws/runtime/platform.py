"""The platform that runs the job's container, and how a failure is reported to it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.machine_type import instance_type, training_instance_type

__all__ = ["SAGEMAKER_FOLDER", "Platform"]

# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-dockerfile.html
SAGEMAKER_FOLDER = "/opt/ml"
_OUTPUT_FOLDERS = ("model", "output", "checkpoints")
_TEMPORARY_FOLDER = "/tmp"
_FAILURE_FILE = "output/failure"
_CHANNELS_FOLDER = "input/data"


@dataclass(frozen=True, slots=True)
class Platform:
    """Facts that the runner needs about the platform.

    Attributes:
        attempt: Number of this attempt, set by the platform or by the client.
        repeats: Whether the platform may start an attempt again under the same number, as
            SageMaker does after a spot interruption.
        failure_file: File from which the platform reads the reason of a failure; None if it
            reads none.
        instance_type: Type of the machine, as the platform names it; None if unknown.
        copy_id: Id of this copy of the job: of the Batch job, the training job or the process. All
            nodes of a job have the same one.
        claimed_attempt: Number of the attempt that a copy claims; None for its own. A Batch job
            keeps its id in all its attempts, so the first one decides for them.
        moves_on: Causes of a failure after which the job continues on another machine.
        repetitions: Number of the repetition of this job, and of the jobs whose assets it reads, if
            it is not 0.
        mounts: Folder that contains the prefixes of S3 that the platform mounts; None if it mounts
            none.
    """

    attempt: int = 1
    repeats: bool = False
    failure_file: Path | None = None
    instance_type: str | None = None
    copy_id: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    claimed_attempt: int | None = None
    moves_on: frozenset[Cause] = frozenset()
    repetitions: Mapping[str, int] = field(default_factory=dict)
    mounts: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Platform:
        """Return the platform that set these environment variables."""
        before = int(environment.get("FLOWYML_ATTEMPTS_BEFORE") or "0")
        number = environment.get("FLOWYML_ATTEMPT")
        attempt = int(number or environment.get("AWS_BATCH_JOB_ATTEMPT") or "1") + before
        moves_on = _causes(environment.get("FLOWYML_MOVES_ON", ""))
        repetitions = _numbers(environment.get("FLOWYML_REPETITIONS", ""))
        if batch_job := environment.get("AWS_BATCH_JOB_ID"):
            return cls(
                attempt,
                instance_type=instance_type(environment),
                copy_id=batch_job.partition("#")[0],  # a node has the id `JOB#NODE`
                claimed_attempt=None if number else before + 1,
                moves_on=moves_on,
                repetitions=repetitions,
            )
        if not (training_job := environment.get("TRAINING_JOB_NAME")):
            return cls(
                attempt,
                instance_type=instance_type(environment),
                moves_on=moves_on,
                repetitions=repetitions,
            )
        # SageMaker's training toolkit reads this variable, too, in processes outside SageMaker.
        folder = Path(environment.get("SAGEMAKER_BASE_DIR") or SAGEMAKER_FOLDER)
        return cls(
            attempt,
            repeats=True,
            failure_file=folder / _FAILURE_FILE,
            instance_type=training_instance_type(folder),
            copy_id=training_job,
            moves_on=moves_on,
            repetitions=repetitions,
            mounts=folder / _CHANNELS_FOLDER,
        )

    def report_folders(self) -> None:
        """Log the folders of SageMaker that this process can't write."""
        if self.failure_file is None:
            return
        base = self.failure_file.parents[1]
        folders = [base / name for name in _OUTPUT_FOLDERS]
        folders.append(Path(os.environ.get("TMPDIR") or _TEMPORARY_FOLDER))
        refused = [f for f in folders if f.is_dir() and not os.access(f, os.W_OK)]
        if refused:
            say(
                f"the image's user ({os.getuid()}) can't write {', '.join(map(str, refused))}: "
                "SageMaker creates them for root, so checkpoints, models and temporary files can't "
                "be stored there; build the image without USER (see docs/images.md)"
            )

    def report_failure(self, reason: str) -> None:
        """Write the reason of a failure for the platform. SageMaker shows 1,024 characters."""
        if self.failure_file is None:
            return
        try:
            self.failure_file.parent.mkdir(parents=True, exist_ok=True)
            self.failure_file.write_text(reason, "utf-8", errors="backslashreplace")
        except OSError as error:  # optional: the result contains it, too
            say(f"could not write the reason to {self.failure_file}: {error}")


def _causes(names: str) -> frozenset[Cause]:
    return frozenset(Cause(name) for name in names.split(",") if name)


def _numbers(text: str) -> Mapping[str, int]:
    """Return the numbers in a string such as `load=1,train=2`. Names of jobs have no comma."""
    pairs = (pair.rpartition("=") for pair in text.split(",") if pair)
    return {name: int(number) for name, _, number in pairs}
