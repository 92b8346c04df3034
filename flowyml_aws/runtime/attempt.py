"""One attempt of a job: its progress, its assets and its commit."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import EVENTS, LOGGED, RunLayout
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.claim import JobClaim, claim_job
from flowyml_aws.runtime.commit import create_result
from flowyml_aws.runtime.data_folders import OpenPrefixes, no_prefixes
from flowyml_aws.runtime.events import Progress
from flowyml_aws.runtime.item_outputs import ItemOutputs
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.logged import StepLogged, read_logged
from flowyml_aws.runtime.peaks import peaks_of
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepFailure, read_result
from flowyml_aws.runtime.sampler import Sampler
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.runtime.step_log import StepLog

__all__ = ["Attempt"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of one job.

    Attributes:
        spec: Spec of the job.
        store: Store that holds the run.
        number: Attempt number, from 1.
        started_at: Start time, in seconds since the epoch.
        progress: Reports of the steps so far.
        log: Values that the steps log.
        assets: Refs of the values stored so far, by asset.
        outputs: Outputs of items that are not stored yet.
        skipped: Assets of this job that do not exist because their step was skipped, with the
            cause.
        dropped: Assets of this job that do not exist because an item of a map failed, with the
            cause.
        partial: Assets of this job that were made from lists without dropped items.
        changed: Digests of values that are different from those of the client, by name.
        damaged: Assets whose values are missing or damaged, with the number of the repetition that
            produced each.
        platform: Platform that runs the container.
        sampler: Records phases, and measures the use of the machine.
        open_prefixes: Opens prefixes of S3.
    """

    spec: JobSpec
    store: ArtifactStore
    number: int
    started_at: float
    progress: Progress
    log: StepLog
    assets: dict[str, ArtifactRef]
    outputs: ItemOutputs
    skipped: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)
    changed: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, int] = field(default_factory=dict)
    platform: Platform = field(default_factory=Platform)
    sampler: Sampler = field(default_factory=lambda: Sampler(1))
    open_prefixes: OpenPrefixes = no_prefixes

    @classmethod
    def begin(
        cls,
        spec: JobSpec,
        store: ArtifactStore,
        number: int,
        platform: Platform | None = None,
        open_prefixes: OpenPrefixes = no_prefixes,
    ) -> Attempt:
        """Create an attempt that starts now."""
        assets: dict[str, ArtifactRef] = {}
        platform = platform or Platform(number)
        steps = [step.name for step in spec.steps]
        repetition = platform.repetitions.get(spec.job, 0)
        progress = Progress(steps, number, assets, platform.instance_type, repetition)
        return cls(
            spec,
            store,
            number,
            time.time(),
            progress,
            StepLog(store, RunLayout(spec.run_id).attempt(spec.job, number, LOGGED), number),
            assets,
            ItemOutputs(store, assets),
            platform=platform,
            sampler=Sampler(number),
            open_prefixes=open_prefixes,
        )

    def with_spec(self, spec: JobSpec) -> Attempt:
        """Return the same attempt with other steps, none of which has started."""
        self.progress.replace([step.name for step in spec.steps])
        return replace(self, spec=spec)

    @property
    def repetition(self) -> int:
        """Number of the repetition of the job; 0 for the first execution."""
        return self.repetition_of(self.spec.job)

    def repetition_of(self, job: str) -> int:
        """Return the number of the repetition whose result counts, of this or a parent job."""
        return self.platform.repetitions.get(job, 0)

    def result_of(self, job: str) -> JobResult | None:
        """Return the result of this or another job of the run, or None if there is none yet."""
        return read_result(self.store, self.spec.run_id, job, self.repetition_of(job))

    def claim(self) -> str:
        """Claim the job for this copy, and return the id of the copy that holds the claim.

        Raises:
            AwsRefusedError: The claim can't be written or read.
        """
        platform = self.platform
        claim = JobClaim(copy_id=platform.copy_id, claimed_at=self.started_at)
        attempt = platform.claimed_attempt or self.number
        return claim_job(self.store, self.spec.run_id, self.spec.job, attempt, claim)

    def earlier_events(self) -> list[AttemptEvents]:
        """Return the events of the attempts before this one, oldest first, if they left any.

        Attempts of another repetition do not count: their values may be damaged.

        Call it before this attempt writes events: those that exist under its own number were
        written by an earlier start of the same attempt.
        """
        layout, events = RunLayout(self.spec.run_id), []
        for number in self._earlier_numbers:
            key = layout.attempt(self.spec.job, number, EVENTS)
            with suppress(ArtifactNotFoundError, DamagedArtifactError):
                events.append(
                    read_document(AttemptEvents, self.store.get(key), f"{self.store.uri}/{key}")
                )
        return [each for each in events if each.repetition == self.repetition]

    def earlier_logged(self) -> dict[str, StepLogged]:
        """Return the logged values of the attempts before this one, by step; the latest count.

        Call it before this attempt logs values, for the same reason.
        """
        steps: dict[str, StepLogged] = {}
        for number in self._earlier_numbers:
            logged = read_logged(self.store, self.spec.run_id, self.spec.job, number)
            steps.update(logged.steps if logged is not None else {})
        return steps

    @property
    def _earlier_numbers(self) -> range:
        return range(self.spec.first_attempt, self.number + self.platform.repeats)

    def cause_of_move(self, failure: StepFailure | None) -> Cause | None:
        """Return the cause for which the failed job continues on another machine, or None.

        Args:
            failure: Failure that no step caused, if any.
        """
        failures = (failure, *(report.failure for report in self.progress.reports))
        causes = (each.cause for each in failures if each is not None)
        return next((cause for cause in causes if cause in self.platform.moves_on), None)

    def commit(
        self, state: Literal["succeeded", "failed"], failure: StepFailure | None = None
    ) -> JobResult:
        """Create result.json, or return the result that another attempt has already committed.

        Args:
            state: Final state of the job.
            failure: Failure that no step caused, if any.

        Raises:
            DamagedArtifactError: The existing object is not a result.
        """
        self.sampler.close()  # before the result, so that clients find both
        result = JobResult(
            run_id=self.spec.run_id,
            job=self.spec.job,
            attempt=self.number,
            state=state,
            started_at=self.started_at,
            ended_at=time.time(),
            steps=self.progress.reports,
            assets=self.assets,
            skipped=self.skipped,
            dropped=self.dropped,
            partial=tuple(sorted(self.partial)),
            failure=failure,
            changed=self.changed,
            instance_type=self.platform.instance_type,
            peaks=peaks_of(self.sampler.document()),
            damaged=self.damaged,
            contents=self.outputs.contents,
        )
        if create_result(self.store, result, self.repetition):
            if (reason := result.reason) is not None:
                self.platform.report_failure(reason)
            return result
        say("another attempt has already committed a result: that result counts")
        other = self.result_of(self.spec.job)
        if other is None:
            key = RunLayout(self.spec.run_id).result(self.spec.job, self.repetition)
            raise DamagedArtifactError(
                what=f"The result can't be written to {self.store.uri}/{key}",
                why="an object with this key exists, but it can't be read",
                fix="delete it, then run the pipeline again",
            )
        return other
