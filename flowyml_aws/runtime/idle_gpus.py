"""Finds out that a step does not use the GPUs of its job, from measurements while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.meters.reading import GpuReading, Reading
from flowyml_aws.runtime.result import GpuIdle, StepFailure

__all__ = ["IDLE_PERCENT", "REPORT_S", "GpuWatch", "idle_failure", "idle_length", "idle_text"]

IDLE_PERCENT = 1.0
"""Utilization below which a GPU is idle, in percent."""
REPORT_S = 600.0
"""Seconds without use after which a step is reported."""


class GpuWatch:
    """Watches the GPUs of a job during one call of a step.

    The sampler calls `see`, in its own thread; the step's thread calls `close`.

    Args:
        started_at: Start of the call, in seconds since the epoch.
        stop_s: Seconds without use after which the step is stopped; None for never.
        report: Called with the longest time without use and the time of the measurement, when it
            has lasted for ten minutes, and when it ends.
        stop: Called once, in a thread of its own; it must end the process.
        cannot_watch: Called once with the reason if the use of the GPUs is unknown: at once if
            the step would be stopped, otherwise when it would be reported.
    """

    def __init__(
        self,
        started_at: float,
        stop_s: float | None,
        report: Callable[[GpuIdle, float], None],
        stop: Callable[[GpuIdle], None],
        cannot_watch: Callable[[str], None],
    ) -> None:
        self._started_at = self._idle_since = self._seen_at = started_at
        self._stop_s = stop_s
        self._report = report
        self._stop = stop
        self._cannot_watch = cannot_watch
        self._longest: GpuIdle | None = None
        self._current: GpuIdle | None = None
        self._is_known_unwatchable = False
        self._is_closed = self._is_stopping = False
        self._lock = threading.Lock()

    def see(self, reading: Reading) -> None:
        """Take a measurement of all quantities."""
        with self._lock:
            if self._is_closed or self._is_stopping:
                return
            self._seen_at = max(self._seen_at, reading.at)
            if (reason := _unknown_use(reading.gpus)) is not None:
                is_expected = self._stop_s is not None or reading.at - self._started_at >= REPORT_S
                if is_expected and not self._is_known_unwatchable:
                    self._is_known_unwatchable = True
                    self._cannot_watch(reason)
                self._note_use(reading.at)
            elif any((gpu.percent or 0.0) >= IDLE_PERCENT for gpu in reading.gpus):
                self._note_use(reading.at)
            else:
                self._note_idleness(reading.at)

    def close(self) -> None:
        """End the watch with the call. Wait for the end of the process if the step is stopped."""
        with self._lock:
            self._is_closed = True
            if not self._is_stopping:
                self._note_use(self._seen_at)
        if self._is_stopping:
            threading.Event().wait()

    def _note_use(self, now: float) -> None:
        if self._current is not None:
            ended = GpuIdle(since=self._current.since, until=now)
            self._current = None
            if self._longest is None or ended.seconds(now) > self._longest.seconds(now):
                self._longest = ended
            self._report(self._longest, now)
        self._idle_since = now

    def _note_idleness(self, now: float) -> None:
        idle_s = now - self._idle_since
        idle = GpuIdle(since=self._idle_since)
        if idle_s >= REPORT_S and self._current is None:
            self._current = idle
            self._report(idle, now)
        if self._stop_s is not None and idle_s >= self._stop_s:
            self._is_stopping = True
            stopped = GpuIdle(since=self._idle_since, until=now)
            threading.Thread(target=self._stop, args=(stopped,), name="idle GPU").start()


def idle_text(step: str, idle: GpuIdle, now: float) -> str:
    """Return a line such as `GPU idle for 12 min in step train`."""
    return f"GPU idle for {idle_length(idle, now)} in step {step}"


def idle_length(idle: GpuIdle, now: float) -> str:
    """Return the length of a time without use: `12 min`."""
    minutes = idle.seconds(now) / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def idle_failure(idle: GpuIdle) -> StepFailure:
    """Return the failure of a step that was stopped because it did not use the GPUs."""
    length = idle_length(idle, idle.since)
    message = f"it did not use the GPUs of its job for {length} (stop_idle_gpu)"
    fix = (
        "check that the code uses the GPU (for example torch.cuda.is_available()), move work "
        "without GPU to a step without GPUs, or raise stop_idle_gpu"
    )
    return StepFailure(
        kind="IdleGpu",
        message=message,
        traceback=f"IdleGpu: {message}\n  fix: {fix}\n",
        cause=Cause.GPU_IDLE,
    )


def _unknown_use(gpus: tuple[GpuReading, ...]) -> str | None:
    """Return why the use of the GPUs is unknown; None if it is known."""
    if not gpus:
        return "no GPU can be measured: NVIDIA's driver or nvidia-ml-py is missing"
    if any(gpu.percent is None for gpu in gpus):
        return "a GPU does not report its utilization, as with MIG"
    return None
