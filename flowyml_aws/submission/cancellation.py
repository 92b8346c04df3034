"""The cancellation of a run: the person who asked for it, and the time."""

from __future__ import annotations

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.submission.record import RunOutcome, RunState

__all__ = ["Cancellation", "read_cancellation"]


class Cancellation(RunOutcome):
    """The request to cancel a run. Its existence is what counts for the jobs.

    Older versions wrote a `RunOutcome`, so this is one with an optional field.

    Attributes:
        ended_at: Time of the request, in seconds since the epoch.
        by: User and machine of the client; None if it is unknown.
    """

    state: RunState = RunState.CANCELLED
    by: str | None = None


def read_cancellation(store: ArtifactStore, run_id: str) -> Cancellation | None:
    """Return the cancellation of a run; None if there is none that this version reads."""
    key = RunLayout(run_id).cancellation
    try:
        return read_document(Cancellation, store.get(key), f"{store.uri}/{key}")
    except (ArtifactNotFoundError, DamagedArtifactError):
        return None
