"""How far the steps are, kept in memory and told to the store from a thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.result import AttemptEvents, StepReport

__all__ = ["Progress"]

_LAST_WORD_S = 5.0


class Progress:
    """The reports of a job's steps; `start` tells each change, at most once per `every_s`.

    What the job has stored by then is told with them. The steps never wait for the store: the
    thread writes the newest state, not each one.
    """

    def __init__(
        self, steps: Sequence[str], attempt: int, assets: Mapping[str, ArtifactRef]
    ) -> None:
        self._reports = {name: StepReport(name=name) for name in steps}
        self._attempt = attempt
        self._assets = assets
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def reports(self) -> tuple[StepReport, ...]:
        return tuple(self._reports.values())

    def __getitem__(self, step: str) -> StepReport:
        return self._reports[step]

    def update(self, step: str, **changes: Any) -> None:
        self._reports[step] = self._reports[step].model_copy(update=changes)
        self._changed.set()

    def take(self, report: StepReport) -> None:
        """Put the report of an earlier attempt in the place of the step's."""
        self._reports[report.name] = report
        self._changed.set()

    def start(self, store: ArtifactStore, key: str, every_s: float) -> None:
        """Tell changes to an object from now on."""
        self._thread = threading.Thread(
            target=self._tell, args=(store, key, every_s), name="progress", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Tell the last change and stop."""
        self._closed.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout=_LAST_WORD_S)

    def _tell(self, store: ArtifactStore, key: str, every_s: float) -> None:
        told: tuple[StepReport, ...] = ()
        last = False
        while not last:
            self._changed.wait()
            self._changed.clear()
            last = self._closed.is_set()  # looked at before the reports are
            if (reports := self.reports) != told:
                # After the reports: what a step has stored is there before it is told to be done.
                assets = dict(self._assets)
                events = AttemptEvents(attempt=self._attempt, steps=reports, assets=assets)
                try:
                    store.put(key, events.to_json())
                    told = reports
                except Exception as error:  # a courtesy: the job must not die of it
                    say(f"progress not written: {error}")
            self._closed.wait(every_s)
