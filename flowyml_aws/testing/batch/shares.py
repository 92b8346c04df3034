"""Fair-share scheduling: the policy of a queue, and the share and priority of its jobs.

Jobs of one queue start by their priority. The shares of a queue are not balanced. moto does not
store the `schedulingPriority` of a job definition, so each submission needs a priority.

The messages for a missing share or priority are those of AWS (github.com/boto/boto3/issues/3158,
github.com/nextflow-io/nextflow/pull/3505). Rules: SubmitJob, CreateJobQueue and UpdateJobQueue in
the API reference of AWS Batch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moto.batch.models import BatchBackend, JobQueue

from flowyml_aws.testing.batch.validation import ClientException

__all__ = ["check_policy", "check_share"]

_SHARE = re.compile(r"[A-Za-z0-9]{1,255}\*?")
_MOST_PRIORITY = 9999


def check_policy(request: Mapping[str, Any], queue: JobQueue | None, backend: BatchBackend) -> None:
    """Check the scheduling policy in a request to create or to update a queue.

    Raises:
        ClientException: AWS would reject it.
    """
    policy = request.get("schedulingPolicyArn")
    if policy is None:
        return
    if not backend.describe_scheduling_policies([policy]):
        raise ClientException(f"Scheduling policy {policy} does not exist")
    if queue is not None and not queue.schedule_policy:
        raise ClientException("A scheduling policy can't be added to a FIFO job queue")


def check_share(request: Mapping[str, Any], queue: JobQueue) -> None:
    """Check the share and the priority of a job.

    Raises:
        ClientException: AWS would reject the request.
    """
    share, priority = request.get("shareIdentifier"), request.get("schedulingPriorityOverride")
    if not queue.schedule_policy:
        if share is not None:
            raise ClientException("shareIdentifier can't be specified for a FIFO job queue")
        return
    if share is None:
        raise ClientException("shareIdentifier must be specified.")
    if not _SHARE.fullmatch(share):
        raise ClientException("shareIdentifier must have up to 255 letters and digits")
    if priority is None:
        raise ClientException(
            "Either schedulingPriority in job definition or schedulingPriorityOverride is required."
        )
    if not 0 <= priority <= _MOST_PRIORITY:
        raise ClientException(f"schedulingPriorityOverride must be from 0 to {_MOST_PRIORITY}")
