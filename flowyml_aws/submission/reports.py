"""The reports of a run's jobs: summaries of results, and events of running attempts.

A few reports are read one by one. For more, one listing shows every result with its summary (see
`runtime/summary.py`) and the time of each job's last event, with a request per 1,000 objects.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import EVENTS, RESULT, SUMMARY, RunLayout, repetition_prefix
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.concurrency import STORE_REQUESTS, map_concurrently
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.runtime.result import AttemptEvents, JobResult, read_result
from flowyml_aws.runtime.summary import JobSummary

__all__ = ["JobReports"]

_EVENTS_OF_ATTEMPT = re.compile(rf"attempts/(\d+)/{re.escape(EVENTS)}")


@dataclass(slots=True)
class _Listing:
    """The facts that a listing shows.

    Attributes:
        committed: Jobs with a result.
        summaries: Names of the summaries of each job.
        events: Version of the events of each job and attempt: their time and size.
    """

    committed: set[str] = field(default_factory=set)
    summaries: dict[str, list[str]] = field(default_factory=dict)
    events: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)


class JobReports:
    """Reads the reports of a run's jobs with few requests.

    Args:
        store: Store of the run.
        run_id: Id of the run.
        jobs: Number of its jobs.

    Attributes:
        repetitions: Number of the repetition whose result counts, of the jobs that are repeated.
    """

    def __init__(self, store: ArtifactStore, run_id: str, jobs: int) -> None:
        self.repetitions: Mapping[str, int] = {}
        self._store = store
        self._layout = RunLayout(run_id)
        # Twice as many in a poll, and a listing, are less than 20 + jobs / 40 requests.
        self._few = 3 + jobs // 250
        self._listing: _Listing | None = None
        self._results: dict[tuple[str, int], JobResult] = {}
        self._events: dict[str, AttemptEvents] = {}
        self._versions: dict[str, tuple[float, int]] = {}
        self._reads: dict[str, int] = {}

    def summaries(self, jobs: Sequence[str]) -> dict[str, JobSummary]:
        """Return the summaries of the jobs that have committed a result, by job.

        All results without a readable summary are opened, and some of the results of failed jobs,
        for their tracebacks.
        """
        if len(jobs) <= self._few:
            return self._opened(jobs)
        self._listing = listing = self._list()
        found: dict[str, JobSummary] = {}
        unknown: list[str] = []
        for job in jobs:
            if job not in listing.committed:
                continue
            names = listing.summaries.get(job, ())
            # The runner that committed the result writes one. With several, the result decides.
            summary = JobSummary.from_name(names[0]) if len(names) == 1 else None
            if summary is None:
                unknown.append(job)
            else:
                found[job] = summary
        failed = [job for job, summary in found.items() if summary.state == "failed"]
        return {**found, **self._opened([*unknown, *failed[: self._few]])}

    def events(self, attempts: Mapping[str, int]) -> dict[str, AttemptEvents]:
        """Return the latest known events of the attempts that have any, by job.

        If they are many, each call reads some of those that have changed: first those that were
        read least often, in the order of `attempts`.

        Args:
            attempts: Number of the attempt of each job.
        """
        wanted = list(attempts)
        if len(attempts) > self._few:
            # The listing of a call just before is as good.
            listing = self._listing or self._list()
            versions = {
                job: version
                for job, attempt in attempts.items()
                if (version := listing.events.get((job, attempt))) is not None
            }
            changed = [job for job in versions if versions[job] != self._versions.get(job)]
            wanted = sorted(changed, key=lambda job: self._reads.get(job, 0))[: self._few]
            self._versions.update((job, versions[job]) for job in wanted)
        self._listing = None
        read = map_concurrently(
            lambda job: self._read_events(job, attempts[job]), wanted, limit=STORE_REQUESTS
        )
        for job, events in zip(wanted, read, strict=True):
            self._reads[job] = self._reads.get(job, 0) + 1
            if events is not None:
                self._events[job] = events
        return {
            job: events
            for job, attempt in attempts.items()
            if (events := self._events.get(job)) is not None and events.attempt == attempt
        }

    def result(self, job: str) -> JobResult | None:
        """Return the committed result of a job, or None if there is none yet."""
        return self.results([job]).get(job)

    def results(self, jobs: Collection[str]) -> dict[str, JobResult]:
        """Return the results of the jobs that have committed one, by job.

        They never change, except that of a dynamic step, until its pipeline has succeeded.
        """
        keys = {job: (job, self.repetitions.get(job, 0)) for job in jobs}
        unread = [key for key in keys.values() if key not in self._results]
        read = map_concurrently(
            lambda key: read_result(self._store, self._layout.run_id, *key),
            unread,
            limit=STORE_REQUESTS,
        )
        found = {**self._results, **{k: r for k, r in zip(unread, read, strict=True) if r}}
        self._results = {key: each for key, each in found.items() if each.expanding is None}
        return {job: found[key] for job, key in keys.items() if key in found}

    def _opened(self, jobs: Sequence[str]) -> dict[str, JobSummary]:
        return {job: JobSummary.of(result) for job, result in self.results(jobs).items()}

    def _list(self) -> _Listing:
        listing = _Listing()
        for entry in self._store.walk(self._layout.jobs):
            job, name = self._layout.split(entry.key)
            repetition = repetition_prefix(self.repetitions.get(job, 0))
            if name == f"{repetition}{RESULT}":
                listing.committed.add(job)
            elif name.startswith(summary := f"{repetition}{SUMMARY}"):
                listing.summaries.setdefault(job, []).append(name.removeprefix(summary))
            elif (match := _EVENTS_OF_ATTEMPT.fullmatch(name)) is not None:
                version = entry.modified_at, entry.size_bytes
                listing.events[job, int(match[1])] = version
        return listing

    def _read_events(self, job: str, attempt: int) -> AttemptEvents | None:
        key = self._layout.attempt(job, attempt, EVENTS)
        try:
            data = self._store.get(key)
        except ArtifactNotFoundError:
            return None
        return read_document(AttemptEvents, data, f"{self._store.uri}/{key}")
