"""Names that AWS accepts, made from names that users chose."""

from __future__ import annotations

import hashlib
import re

__all__ = ["batch_name", "training_name"]

BATCH_NAME_LENGTH = 128  # SubmitJob, jobName: up to 128 letters, numbers, hyphens, underscores
TRAINING_NAME_LENGTH = 63  # CreateTrainingJob, TrainingJobName: letters, numbers, hyphens


def batch_name(*parts: str, limit: int = BATCH_NAME_LENGTH) -> str:
    """A job name for AWS Batch; the same parts always give the same name.

    What AWS refuses becomes a hyphen. Where that or the length changed the name, a short hash of
    the original keeps it apart from others.
    """
    wanted = "-".join(parts)
    name = re.sub(r"[^A-Za-z0-9_-]", "-", wanted).lstrip("-_")
    if name == wanted and len(name) <= limit:
        return name
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    return f"{name[: limit - 9] or 'job'}-{digest}"


def training_name(run_id: str, job: str, attempt: int) -> str:
    """The name of a training job; it begins with the run's id and ends with the attempt.

    A name that AWS refuses, or that is too long, is cut and gets a hash of the job's own name.
    """
    end = f"-{attempt}"
    room = TRAINING_NAME_LENGTH - len(run_id) - len(end) - 1
    if re.fullmatch("[A-Za-z0-9-]*[A-Za-z0-9]", job) and len(job) <= room and not _is_hashed(job):
        return f"{run_id}-{job}{end}"
    digest = hashlib.sha256(job.encode()).hexdigest()[:_DIGEST]
    cut = re.sub("[^A-Za-z0-9]+", "-", job)[: max(0, room - _DIGEST - 2)].strip("-")
    return "-".join(filter(None, [run_id, cut, f"x{digest}"])) + end


_DIGEST = 10  # with the letter before it, 16**10 names apart


def _is_hashed(job: str) -> bool:
    """Whether a job's own name ends like one that was cut."""
    return re.search(f"(^|-)x[0-9a-f]{{{_DIGEST}}}$", job) is not None
