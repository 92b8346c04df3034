"""The S3 store of a job, opened by the runner with the credentials of the job's role."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.config import Config

from flowyml_aws.artifacts.parallel import CONNECTIONS
from flowyml_aws.aws.connection.sessions import new_session
from flowyml_aws.aws.s3.patience import Repetition, patience_of_job
from flowyml_aws.aws.s3.store import S3ArtifactStore

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["job_client", "open_job_store"]

_CONNECT_TIMEOUT_S = 10.0  # botocore's default, 60 s, is long for a service in the same region


def open_job_store(uri: str, wait_s: float, say: Callable[[str], None]) -> S3ArtifactStore:
    """Return the store at a URI, with botocore instead of boto3: that starts 10 to 20 ms faster.

    Args:
        uri: URI of the store.
        wait_s: Seconds for which calls are repeated during an outage.
        say: Called with a sentence when an outage begins and when it ends.

    Raises:
        SettingsError: The URI is not that of an S3 store.
    """
    repeat = Repetition(patience_of_job(wait_s), say)
    return S3ArtifactStore.from_uri(job_client(), uri, repeat)


def job_client() -> S3Client:
    """Return an S3 client with the credentials of the job's role."""
    config = Config(
        max_pool_connections=CONNECTIONS,
        connect_timeout=_CONNECT_TIMEOUT_S,
        # The runner verifies every object by the digest that the run records.
        response_checksum_validation="when_required",
    )
    client: S3Client = new_session().create_client("s3", config=config)
    return client
