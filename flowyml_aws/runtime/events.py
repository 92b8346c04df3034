"""Progress of the steps, kept in memory and written to the store by a thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core import clock
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.result import AttemptEvents, StepReport

__all__ = ["Progress"]

_CLOSE_TIMEOUT_S = 5.0
_PROMPT_WRITES = 20  # ten steps, each with a start and an end


class Progress:
    """Reports of a job's steps; `start` writes changes.

    The first changes are written at once, so that they name the step that runs if the process is
    killed; those of jobs with many steps follow at most once per `interval_s`.

    The assets that the job has stored so far are written with them. Steps never wait for the
    store: the thread writes the newest state, not every state.
    """

    def __init__(
        self,
        steps: Sequence[str],
        attempt: int,
        assets: Mapping[str, ArtifactRef],
        instance_type: str | None = None,
        repetition: int = 0,
    ) -> None:
        self._reports = {name: StepReport(name=name) for name in steps}
        self._attempt = attempt
        self._assets = assets
        self._instance_type = instance_type
        self._lock = threading.Lock()  # the sampler's thread reports idle GPUs
        self._repetition = repetition
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def reports(self) -> tuple[StepReport, ...]:
        return tuple(self._reports.values())

    def __getitem__(self, step: str) -> StepReport:
        return self._reports[step]

    def replace(self, steps: Sequence[str]) -> None:
        """Replace the steps by others, after those of them that remain are known."""
        with self._lock:
            known = self._reports
            self._reports = {name: known.get(name) or StepReport(name=name) for name in steps}

    def update(self, step: str, **changes: Any) -> None:
        with self._lock:
            self._reports[step] = self._reports[step].model_copy(update=changes)
        self._changed.set()

    def take(self, report: StepReport) -> None:
        """Replace the report of a step with the report of an earlier attempt."""
        self._reports[report.name] = report
        self._changed.set()

    def start(self, store: ArtifactStore, key: str, interval_s: float) -> None:
        """Start writing changes to an object."""
        self._thread = threading.Thread(
            target=self._write_changes, args=(store, key, interval_s), name="progress", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Write the last change and stop."""
        self._closed.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout=_CLOSE_TIMEOUT_S)

    def _write_changes(self, store: ArtifactStore, key: str, interval_s: float) -> None:
        written: tuple[StepReport, ...] = ()
        writes = 0
        last = False
        while not last:
            self._changed.wait()
            self._changed.clear()
            last = self._closed.is_set()  # read before the reports
            if (reports := self.reports) != written:
                # Read after the reports: a step stores its assets before it is reported as done.
                assets = dict(self._assets)
                events = AttemptEvents(
                    attempt=self._attempt,
                    steps=reports,
                    assets=assets,
                    instance_type=self._instance_type,
                    repetition=self._repetition,
                )
                writes += 1
                try:
                    store.put(key, events.to_json())
                    written = reports
                except Exception as error:  # progress is optional: the job must continue
                    say(f"could not write the progress: {error}")
            if writes >= _PROMPT_WRITES:
                clock.wait(self._closed, interval_s)
