"""Node labels that options of jobs require of targets, and why a target lacks them."""

from __future__ import annotations

from flowyml_aws.core.job_options import FAIR_SHARE_LABEL, QUEUE_LABEL, fsx_of_label

__all__ = ["lack_of_label"]


def lack_of_label(label: str, value: str) -> tuple[str, str] | None:
    """Return why a target lacks a label that an option of a job requires, and the fix.

    Return None for any other label.
    """
    if label == QUEUE_LABEL:
        return (
            f"the job requires queue {value!r}",
            "name a queue that the job fits on in queue=, or omit it",
        )
    if label == FAIR_SHARE_LABEL:
        return (
            "it has no fair-share scheduling policy, which priority= needs",
            "omit priority=, or create the queue with a scheduling policy (fair_share in infra/)",
        )
    if (file_system_id := fsx_of_label(label)) is not None:
        return (
            f"its instances do not mount the file system {file_system_id} of FSx",
            "add it to fsx_file_systems of the family in infra/; without infra/, mount it in their "
            f"launch template at /mnt/fsx/{file_system_id}, and set the tag "
            f"flowyml-aws:label:{label} of the queue to {value}",
        )
    return None
