"""The right to submit a run's Batch jobs: one client at a time has it, and proves it as it goes.

Each client that submits creates the next document `submissions/<n>.json`; the newest document
decides. Ages are those of the store, which wrote both times: the clocks of two clients are never
compared, so a client whose clock is wrong takes nothing over. A client that was suspended finds
that a newer document exists before it submits another job.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore

__all__ = [
    "LISTED_AFTER_S",
    "Lease",
    "LeaseLostError",
    "Submission",
    "Submissions",
]

LISTED_AFTER_S = 10.0
"""Seconds after which ListJobs shows a new job. AWS documents no limit; seconds are usual."""
_LEASE_S = 60.0  # a submitting client that has written nothing for longer is considered dead
_PROOF_S = 10.0  # a client submits for at most this long without proving that it still may

State = Literal["going", "left", "complete", "cancelled"]


class Submission(Document):
    """Record of one client's submission of a run, updated while it submits.

    Attributes:
        state: `going` while the client submits, then `complete`; `left` if it gave up and
            `job_ids` contains every job that exists, so that the next client need not wait;
            `cancelled` if no client may submit anything any more.
        written_at: Seconds since the epoch by the client's clock, for people. Ages are the
            store's.
        job_ids: Batch job ids by Batch job name.
        uncertain: Names of the jobs of which ListJobs may not show every copy yet.
    """

    version: Literal[1] = 1
    state: State
    written_at: float
    job_ids: dict[str, str]
    uncertain: tuple[str, ...] = ()


class LeaseLostError(Exception):
    """Another client has taken over the submission of the run, or has cancelled the run."""


class Submissions:
    """The submission documents of one run.

    Args:
        store: Store of the run.
        run_id: The run.
        names: Names of its Batch jobs.
        clock: Seconds that pass also while this machine is suspended.

    Attributes:
        names: Names of the Batch jobs of the run; of moved jobs, those of their last submission.
        job_ids: Batch job ids by Batch job name, as far as this client knows them.
        uncertain: Names of the jobs of which there may be copies that ListJobs does not show yet.
    """

    def __init__(
        self,
        store: ArtifactStore,
        run_id: str,
        names: Collection[str],
        clock: Callable[[], float],
    ) -> None:
        self.job_ids: dict[str, str] = {}
        self.uncertain: set[str] = set()
        self._store = store
        self._layout = RunLayout(run_id)
        self.names = names
        self._clock = clock
        self._number = 0
        self._latest: Submission | None = None
        self._forgotten_at = -math.inf

    @property
    def latest(self) -> Submission | None:
        """Newest document, as it was read last."""
        return self._latest

    def load(self) -> None:
        """Read the newest document, unless all jobs are known to be submitted.

        Jobs with a parent on another service are submitted later than others.
        """
        latest = self._latest
        if (
            latest is not None
            and latest.state == "complete"
            and all(name in self.job_ids for name in self.names)
        ):
            return
        number = self.newest_number()
        if number:
            key = self._layout.submission(number)
            latest = read_document(Submission, self._store.get(key), f"{self._store.uri}/{key}")
            self.job_ids.update(latest.job_ids)
            self.uncertain.update(latest.uncertain)
            self._number, self._latest = number, latest

    def newest_number(self) -> int:
        """Return the number of the newest document; 0 if there is none."""
        names = self._store.children(self._layout.submissions)
        return max((int(name.removesuffix(".json")) for name in names), default=0)

    def age_s(self) -> float:
        """Return the seconds since the document that `load` read was written last."""
        return self._store.age_s(self._layout.submission(self._number)) if self._number else 0.0

    def is_held(self) -> bool:
        """Return whether another client may still be submitting jobs."""
        latest = self._latest
        return latest is not None and latest.state == "going" and self.age_s() < _LEASE_S

    def all_are_listed(self) -> bool:
        """Return whether a listing that begins now shows every job that is not noted here."""
        latest = self._latest
        if self._clock() - self._forgotten_at < LISTED_AFTER_S:
            return False  # this client's last calls were answered just before
        if latest is None:
            return True
        if latest.state in ("going", "cancelled"):
            # It may have submitted jobs until it had to prove its lease again.
            return self.age_s() >= _PROOF_S + LISTED_AFTER_S
        return not latest.uncertain or self.age_s() >= LISTED_AFTER_S

    def take(self) -> Lease | None:
        """Take over from the document that `load` read; None if another client was faster."""
        lease = Lease(self, self._number + 1, self._clock)
        return lease if self.create(lease.number, "going") else None

    def close(self) -> None:
        """End the submission of the run for good: every client stops that submits jobs."""
        while self._latest is None or self._latest.state != "cancelled":
            if self.create(self._number + 1, "cancelled"):
                return
            self._latest = None
            self.load()

    def forget(self) -> None:
        """Forget what this client has submitted, so that `load` reads it from the store."""
        self.job_ids.clear()
        self._number, self._latest = 0, None
        self._forgotten_at = self._clock()

    def create(self, number: int, state: State) -> bool:
        """Create a document. Return False if it exists."""
        return self._store.create(self._layout.submission(number), self._document(state))

    def write(self, number: int, state: State) -> None:
        """Replace a document of this client."""
        self._store.put(self._layout.submission(number), self._document(state))

    def _document(self, state: State) -> bytes:
        return Submission(
            state=state,
            written_at=time.time(),
            job_ids=dict(self.job_ids),
            uncertain=tuple(sorted(self.uncertain)),
        ).to_json()


class Lease:
    """The right of one client to submit a run's jobs, until another client takes it.

    Attributes:
        number: Number of the client's document.
    """

    def __init__(self, submissions: Submissions, number: int, clock: Callable[[], float]) -> None:
        self.number = number
        self._submissions = submissions
        self._clock = clock
        self._lock = threading.Lock()
        self._proven_at = clock()  # before the document was created

    def prove(self) -> None:
        """Check that no other client has taken over. A proof counts for some seconds.

        Raises:
            LeaseLostError: Another client has taken over.
        """
        with self._lock:
            now = self._clock()
            if now - self._proven_at < _PROOF_S:
                return
            if self._submissions.newest_number() != self.number:
                raise LeaseLostError
            self._submissions.write(self.number, "going")
            self._proven_at = now

    def write(self, state: State) -> None:
        """Record the jobs that were submitted so far."""
        self._submissions.write(self.number, state)
