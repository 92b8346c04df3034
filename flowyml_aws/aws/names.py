"""Names that AWS accepts, derived from names that users chose."""

from __future__ import annotations

import hashlib
import re

__all__ = ["batch_name", "training_name"]

BATCH_NAME_LENGTH = 128  # SubmitJob, jobName: up to 128 letters, numbers, hyphens, underscores
TRAINING_NAME_LENGTH = 63  # CreateTrainingJob, TrainingJobName: letters, numbers, hyphens


def batch_name(*parts: str, limit: int = BATCH_NAME_LENGTH) -> str:
    """Return a job name for AWS Batch; the same parts always give the same name.

    Characters that AWS refuses become hyphens. If that or the length limit changes the name, a
    short hash of the original keeps it unique.
    """
    original = "-".join(parts)
    name = re.sub(r"[^A-Za-z0-9_-]", "-", original).lstrip("-_")
    if name == original and len(name) <= limit:
        return name
    digest = hashlib.sha256(original.encode()).hexdigest()[:8]
    return f"{name[: limit - 9] or 'job'}-{digest}"


def training_name(run_id: str, job: str, attempt: int) -> str:
    """Return the name of a training job; it begins with the run id and ends with the attempt.

    A job name that AWS refuses, or that is too long, is shortened and gets a hash of the original.
    """
    suffix = f"-{attempt}"
    limit = TRAINING_NAME_LENGTH - len(run_id) - len(suffix) - 1
    if re.fullmatch("[A-Za-z0-9-]*[A-Za-z0-9]", job) and len(job) <= limit and not _is_hashed(job):
        return f"{run_id}-{job}{suffix}"
    digest = hashlib.sha256(job.encode()).hexdigest()[:_DIGEST_LENGTH]
    cut = re.sub("[^A-Za-z0-9]+", "-", job)[: max(0, limit - _DIGEST_LENGTH - 2)].strip("-")
    return "-".join(filter(None, [run_id, cut, f"x{digest}"])) + suffix


_DIGEST_LENGTH = 10  # hexadecimal digits


def _is_hashed(job: str) -> bool:
    """Return whether a job's name ends like a shortened one."""
    return re.search(f"(^|-)x[0-9a-f]{{{_DIGEST_LENGTH}}}$", job) is not None
