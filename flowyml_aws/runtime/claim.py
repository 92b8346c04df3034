"""The claim of a job: the one copy of it that may run steps and commit a result.

AWS Batch has no client token for SubmitJob: a job whose answer was lost, or that two clients have
submitted, can exist twice. The copies have different ids, but the same spec and the same keys in
the store. The store accepts the claim of one of them.

A client that submits a job once more on purpose numbers its attempts itself (`FLOWYML_ATTEMPT`),
and so gets a new claim.
"""

from __future__ import annotations

from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError

__all__ = ["JobClaim", "claim_holder", "claim_job"]

_DOCUMENT = "runner.json"


class JobClaim(Document):
    """The claim of one copy of a job. It is created once and never replaced.

    Attributes:
        copy_id: Id of the copy at its service.
        claimed_at: Seconds since the epoch, by the clock of the claimant.
    """

    version: Literal[1] = 1
    copy_id: str
    claimed_at: float


def claim_job(store: ArtifactStore, run_id: str, job: str, attempt: int, claim: JobClaim) -> str:
    """Claim an attempt of a job, and return the id of the copy that holds the claim.

    The same copy may claim twice. The runner claims for itself. A client claims for the copy that
    it keeps if it knows that there may be others.
    """
    key = RunLayout(run_id).attempt(job, attempt, _DOCUMENT)
    if store.create(key, claim.to_json()):
        return claim.copy_id
    return read_document(JobClaim, store.get(key), f"{store.uri}/{key}").copy_id


def claim_holder(store: ArtifactStore, run_id: str, job: str, attempt: int) -> str | None:
    """Return the id of the copy that holds the claim of an attempt, or None."""
    key = RunLayout(run_id).attempt(job, attempt, _DOCUMENT)
    try:
        return read_document(JobClaim, store.get(key), f"{store.uri}/{key}").copy_id
    except ArtifactNotFoundError:
        return None
