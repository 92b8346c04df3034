"""Recorder of the values that the steps of a job log: in memory, written by a thread."""

from __future__ import annotations

import base64
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core import clock
from flowyml_aws.core.logged_images import Picture
from flowyml_aws.core.logged_tables import TableHead
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.logged import (
    JobLogged,
    LoggedImage,
    LoggedTable,
    LoggedText,
    MetricSeries,
    StepLogged,
)

__all__ = ["MAX_METRICS", "MAX_OTHERS", "MAX_POINTS", "StepLog"]

Logged = TypeVar("Logged", LoggedImage, LoggedTable, LoggedText)

MAX_POINTS = 2000
"""Number of points of a metric, from which on its series is thinned."""
MAX_METRICS = 100
"""Number of metrics of a step."""
MAX_OTHERS = 20
"""Number of images of a step; also of tables, and of strings."""

_INTERVAL_S = 5.0
_PROMPT_WRITES = 20  # at the ends of steps
_SHARE_OF_TIME = 10  # pauses are at least as many times as long as a write
_CLOSE_TIMEOUT_S = 10.0


@dataclass(slots=True)
class _Series:
    """A metric. Every `stride`-th point is kept, and the last one."""

    points: list[tuple[int, float, float]] = field(default_factory=list)
    last: tuple[int, float, float] = (0, 0.0, 0.0)
    count: int = 0
    stride: int = 1
    low: float = math.inf
    high: float = -math.inf

    def add(self, value: float, step: int | None, now: float) -> None:
        self.last = (self.count if step is None else step, value, round(now, 3))
        if self.count % self.stride == 0:
            self.points.append(self.last)
            if len(self.points) > MAX_POINTS:
                self.points = self.points[::2]
                self.stride *= 2
        self.count += 1
        self.low, self.high = min(self.low, value), max(self.high, value)

    def document(self) -> MetricSeries:
        is_kept = (self.count - 1) % self.stride == 0
        points = self.points if is_kept else [*self.points, self.last]
        steps, values, times = zip(*points, strict=True)
        return MetricSeries(
            steps=steps,
            values=values,
            times=times,
            count=self.count,
            low=self.low,
            high=self.high,
        )


@dataclass(slots=True)
class _Step:
    metrics: dict[str, _Series] = field(default_factory=dict)
    images: dict[str, LoggedImage] = field(default_factory=dict)
    tables: dict[str, LoggedTable] = field(default_factory=dict)
    texts: dict[str, LoggedText] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def document(self) -> StepLogged:
        return StepLogged(
            metrics={name: series.document() for name, series in self.metrics.items()},
            images=dict(self.images),
            tables=dict(self.tables),
            texts=dict(self.texts),
            left_out=dict(self.left_out),
        )


class StepLog:
    """Logged values of an attempt; a thread writes them every few seconds and after each step.

    Steps never wait for the store, and never fail because of it. An attempt in which no step logs
    anything writes nothing.

    Args:
        store: Store of the run.
        key: Key of the document.
        attempt: Number of the attempt.
        interval_s: Seconds between two writes while a step runs.
    """

    def __init__(
        self, store: ArtifactStore, key: str, attempt: int, interval_s: float = _INTERVAL_S
    ) -> None:
        self._store, self._key, self._attempt = store, key, attempt
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._steps: dict[str, StepLogged] = {}
        self._name = ""
        self._step = _Step()
        self._changed, self._prompt = threading.Event(), threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def begin(self, step: str) -> None:
        """Start a step or its next attempt, without the values of the attempt before."""
        with self._lock:
            self._keep()
            self._name, self._step = step, _Step()
            if self._steps.pop(step, None) is not None:
                self._notify()

    def end(self) -> None:
        """Write the values of the step that has ended."""
        if self._thread is not None:
            self._prompt.set()

    def take(self, steps: Mapping[str, StepLogged]) -> None:
        """Add the values of steps that an earlier attempt completed."""
        if steps:
            with self._lock:
                self._steps.update(steps)
                self._notify()

    def close(self) -> None:
        """Write the last values and stop."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._changed.set()
            self._prompt.set()
            thread.join(timeout=_CLOSE_TIMEOUT_S)

    def metric(self, name: str, value: float, step: int | None) -> None:
        """Add a point to a metric, unless it is not finite."""
        with self._lock:
            if not math.isfinite(value):
                self._leave_out(name, f"it was {value}, which is not finite")
            elif self._is_room(self._step.metrics, name, MAX_METRICS, "metrics"):
                self._step.metrics.setdefault(name, _Series()).add(value, step, time.time())
                self._notify()

    def image(self, name: str, image: Picture) -> None:
        """Keep an image."""
        data = base64.b64encode(image.data).decode()
        # The types of `Picture` are those of the document.
        logged = LoggedImage.model_validate({"media_type": image.media_type, "data": data})
        with self._lock:
            self._put(self._step.images, name, logged, "images")

    def table(self, name: str, table: TableHead) -> None:
        """Keep the head of a table."""
        logged = LoggedTable(
            columns=table.columns,
            rows=table.rows,
            all_rows=table.all_rows,
            all_columns=table.all_columns,
        )
        with self._lock:
            self._put(self._step.tables, name, logged, "tables")

    def text(self, name: str, text: str, is_cut: bool) -> None:
        """Keep a string."""
        with self._lock:
            self._put(self._step.texts, name, LoggedText(text=text, is_cut=is_cut), "strings")

    def _put(self, values: dict[str, Logged], name: str, logged: Logged, kind: str) -> None:
        if self._is_room(values, name, MAX_OTHERS, kind):
            values[name] = logged
            self._notify()

    def _is_room(self, values: Mapping[str, object], name: str, limit: int, kind: str) -> bool:
        if name in values or len(values) < limit:
            return True
        self._leave_out("…", f"only the first {limit} {kind} of a step are kept")
        return False

    def _leave_out(self, name: str, reason: str) -> None:
        if name not in self._step.left_out and len(self._step.left_out) < MAX_METRICS:
            self._step.left_out[name] = reason
            say(f"{self._name}: a value of {name!r} was not logged: {reason}")
            self._notify()

    def _keep(self) -> None:
        document = self._step.document()
        if document != StepLogged():
            self._steps[self._name] = document

    def _notify(self) -> None:
        self._changed.set()
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(
                target=self._write_changes, name="logged values", daemon=True
            )
            self._thread.start()

    def _write_changes(self) -> None:
        writes, has_failed, is_last = 0, False, False
        while not is_last:
            self._changed.wait()
            self._prompt.clear()
            with self._lock:
                self._changed.clear()
                is_last = self._closed
                self._keep()
                document = JobLogged(attempt=self._attempt, steps=dict(self._steps))
            began = clock.monotonic()
            try:
                self._store.put(self._key, document.to_json(indent=None))
            except Exception as error:  # logged values are optional: the job must continue
                if not has_failed:
                    say(f"could not write the logged values: {error}")
                has_failed = True
            writes += 1
            pause_s = max(self._interval_s, _SHARE_OF_TIME * (clock.monotonic() - began))
            self._pause(pause_s, writes < _PROMPT_WRITES)

    def _pause(self, seconds: float, is_prompt: bool) -> None:
        """Wait for some time; less if the attempt ends, or if a step does and writes were few."""
        end = clock.monotonic() + seconds
        while not self._closed and (left_s := end - clock.monotonic()) > 0:
            if clock.wait(self._prompt, left_s) and is_prompt:
                return
            self._prompt.clear()
