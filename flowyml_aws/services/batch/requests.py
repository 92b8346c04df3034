"""Checks of the requests for a plan's jobs, before submission."""

from __future__ import annotations

from collections.abc import Mapping

from flowyml_aws.aws.batch.limits import submit_request_errors
from flowyml_aws.aws.batch.requests import each_batch_job, submit_request
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.planning.plan import ExecutionPlan
from flowyml_aws.submission.record import RunRecord

__all__ = ["request_problems"]

# Both are as long as the real values, which exist only after submission.
_DEFINITION = f"flowyml-aws-{'0' * 16}"
_JOB_ID = "00000000-0000-0000-0000-000000000000"


def request_problems(
    plan: ExecutionPlan, record: RunRecord, store: str, region: str, tags: Mapping[str, str]
) -> list[FlowymlError]:
    """Return what Batch would reject in the requests for a plan's jobs.

    Args:
        plan: Plan with only jobs of Batch.
        record: Record of the run.
        store: URI of its store.
        region: AWS region of the run.
        tags: Tags from the settings.
    """
    return [
        problem
        for job in each_batch_job(plan, record, store, region)
        for problem in submit_request_errors(
            submit_request(
                job,
                record,
                job.options.job_definition or _DEFINITION,
                dict.fromkeys(job.after, _JOB_ID),
                tags,
            ),
            job.planned,
        )
    ]
