"""One attempt of a job: what it has to tell, and how it commits."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.runtime.events import Progress
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepFailure, read_result
from flowyml_aws.runtime.spec import JobSpec

__all__ = ["Attempt"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of one job.

    Attributes:
        spec: What to run.
        store: Holds the run.
        number: 1 for the first.
        started_at: Seconds since the epoch.
        progress: How far the steps are.
        assets: Values stored so far.
        skipped: The job's own assets that do not exist because their step was skipped.
        platform: What runs it.
    """

    spec: JobSpec
    store: ArtifactStore
    number: int
    started_at: float
    progress: Progress
    assets: dict[str, ArtifactRef]
    skipped: list[str] = field(default_factory=list)
    platform: Platform = field(default_factory=Platform)

    @classmethod
    def begin(
        cls, spec: JobSpec, store: ArtifactStore, number: int, platform: Platform | None = None
    ) -> Attempt:
        """An attempt that starts now."""
        assets: dict[str, ArtifactRef] = {}
        progress = Progress([step.name for step in spec.steps], number, assets)
        return cls(
            spec,
            store,
            number,
            time.time(),
            progress,
            assets,
            platform=platform or Platform(number),
        )

    def result_of(self, job: str) -> JobResult | None:
        """What a job of the run committed, this one or another; None if it has not."""
        return read_result(self.store, self.spec.run_id, job)

    def earlier(self) -> list[AttemptEvents]:
        """What the attempts before this one told, the first one first; most left no word.

        Called before this one tells anything: what lies there of its own number, an earlier start
        of it has told.
        """
        layout, found = RunLayout(self.spec.run_id), []
        for number in range(1, self.number + self.platform.repeats):
            key = layout.attempt(self.spec.job, number, "events.json")
            with suppress(ArtifactNotFoundError, DamagedArtifactError):
                found.append(
                    read_document(AttemptEvents, self.store.get(key), f"{self.store.uri}/{key}")
                )
        return found

    def commit(
        self, state: Literal["succeeded", "failed"], failure: StepFailure | None = None
    ) -> JobResult:
        """Write result.json, unless another attempt has: then that one counts, and is returned.

        Args:
            state: Of the job.
            failure: Why it failed, where no step is to blame.

        Raises:
            DamagedArtifactError: Something lies there that is no result.
        """
        result = JobResult(
            run_id=self.spec.run_id,
            job=self.spec.job,
            attempt=self.number,
            state=state,
            started_at=self.started_at,
            ended_at=time.time(),
            steps=self.progress.reports,
            assets=self.assets,
            skipped=tuple(self.skipped),
            failure=failure,
        )
        key = RunLayout(self.spec.run_id).result(self.spec.job)
        if self.store.create(key, result.to_json()):
            if (reason := result.reason) is not None:
                self.platform.tell_failure(reason)
            return result
        say("another attempt has committed a result already: that one counts")
        other = self.result_of(self.spec.job)
        if other is None:
            raise DamagedArtifactError(
                what=f"The result can't be written to {self.store.uri}/{key}",
                why="something lies there that can't be read",
                fix="remove it, then run the pipeline again",
            )
        return other
