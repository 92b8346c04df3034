"""SubmitJob without repetition: Batch takes each call for a new job.

SubmitJob has no client token (AWS Batch API reference, SubmitJob), and botocore repeats a call
after a connection error, a timeout or a status of 5xx, although its answer may be lost after it
took effect. Here, botocore repeats only what Batch has refused or never received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from flowyml_aws.aws.errors import may_have_arrived, refused
from flowyml_aws.core.errors import AwsUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import SubmitJobRequestTypeDef

__all__ = ["UnclearAnswerError", "never_repeat_submissions", "submit_job"]


class UnclearAnswerError(AwsUnavailableError):
    """A call failed, but Batch may have accepted the job."""


def never_repeat_submissions(batch: BatchClient) -> None:
    """Keep botocore from repeating a SubmitJob that Batch may have carried out."""
    batch.meta.events.register_first(
        "needs-retry.batch.SubmitJob", _raise_if_unclear, unique_id="flowyml-aws-submit-once"
    )


def submit_job(batch: BatchClient, request: SubmitJobRequestTypeDef, doing: str) -> str:
    """Submit a job, and return its id.

    Args:
        batch: Batch client that `never_repeat_submissions` has prepared.
        request: Arguments of SubmitJob.
        doing: Description for the error, to follow "Can't".

    Raises:
        UnclearAnswerError: The job may exist. Look its name up before the next call.
        AwsRefusedError: Batch refused the job, or did not receive the call.
    """
    try:
        return batch.submit_job(**request)["jobId"]
    except (ClientError, BotoCoreError) as error:
        reason = refused(error, doing)
        if not may_have_arrived(error):
            raise reason from error
        raise UnclearAnswerError(reason.what, reason.why, reason.fix) from error
    except (KeyError, ResponseParserError) as error:
        raise UnclearAnswerError(
            what=f"Can't {doing}",
            why="the answer to SubmitJob is not one of AWS Batch, but perhaps of a proxy",
            fix="check the network, the proxy and AWS_ENDPOINT_URL, and attach again",
        ) from error


def _raise_if_unclear(
    response: tuple[Any, dict[str, Any]] | None,
    operation: Any,
    caught_exception: Exception | None,
    **_: Any,
) -> None:
    """Handle botocore's question whether to repeat a call: raise its error to end the call."""
    error = caught_exception
    if error is None and response is not None:
        _, parsed = response
        if int(parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 300:
            error = ClientError(parsed, operation.name)  # type: ignore[arg-type]  # parsed JSON
    if isinstance(error, ClientError | BotoCoreError) and may_have_arrived(error):
        raise error
