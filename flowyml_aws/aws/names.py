"""Names that AWS accepts, made from names that users chose."""

from __future__ import annotations

import hashlib
import re

__all__ = ["batch_name"]

BATCH_NAME_LENGTH = 128  # SubmitJob, jobName: up to 128 letters, numbers, hyphens, underscores


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
