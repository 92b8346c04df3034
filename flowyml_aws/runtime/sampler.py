"""Measures a job while it runs, and writes its use of the machine to the store.

A thread measures about once per second. It waits longer where a measurement takes long, such as on
a machine with thousands of processes, so that it takes less than 0.5 % of one core. Steps are also
measured when they begin and end. `usage.JobUsage` is the document.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.machine_start import ImagePull, machine_started_at, read_pull
from flowyml_aws.runtime.meters.machine import MachineMeter
from flowyml_aws.runtime.meters.reading import Reading, values_between
from flowyml_aws.runtime.periods import Periods
from flowyml_aws.runtime.usage import JobUsage, Phase, PhaseKind, RunnerStart, StepUsage
from flowyml_aws.runtime.usage_size import within_limit

__all__ = ["Sampler"]

_INTERVAL_S = 1.0
_MAX_SHARE = 0.003  # of one core, by measurements
_MAX_WRITE_SHARE = 0.001
_FIRST_WRITE_S = 30.0
_LONGEST_WRITE_INTERVAL_S = 600.0
_CLOSE_TIMEOUT_S = 5.0
_SAME_MOMENT_S = 0.001


@dataclass(slots=True)
class _StepTotals:
    """Use of the machine by a step so far; the attempts of the step are added up.

    Attributes:
        percents: Sum and number of the utilizations of each GPU.
    """

    cpu_core_s: float = 0.0
    memory_peak_mib: float = 0.0
    percents: dict[int, tuple[float, int]] = field(default_factory=dict)
    gpu_memory_peak_mib: dict[int, float] = field(default_factory=dict)

    def see(self, reading: Reading) -> None:
        """Take the values of a moment at which the step runs, or has just ended."""
        self.memory_peak_mib = max(self.memory_peak_mib, reading.process.memory_mib)
        for number, gpu in enumerate(reading.gpus):
            peak_mib = self.gpu_memory_peak_mib.get(number, 0.0)
            self.gpu_memory_peak_mib[number] = max(peak_mib, gpu.memory_mib)
            if gpu.percent is not None:
                total, count = self.percents.get(number, (0.0, 0))
                self.percents[number] = total + gpu.percent, count + 1

    def end(self, before: Reading, now: Reading) -> None:
        """Add the time between the start of an attempt and its end."""
        self.cpu_core_s += now.cpu_s_since(before)
        self.memory_peak_mib = max(self.memory_peak_mib, now.peak_mib_since(before))
        self.see(now)

    def usage(self, running_cpu_s: float) -> StepUsage:
        return StepUsage(
            cpu_core_s=round(self.cpu_core_s + running_cpu_s, 3),
            memory_peak_mib=round(self.memory_peak_mib, 1),
            gpu_percent=tuple(round(t / n, 1) for _, (t, n) in sorted(self.percents.items())),
            gpu_memory_peak_mib=tuple(
                round(peak_mib, 1) for _, peak_mib in sorted(self.gpu_memory_peak_mib.items())
            ),
        )


@dataclass(slots=True)
class _OpenPhase:
    """A phase that has not ended; for a step, with the measurement at its start."""

    kind: PhaseKind
    step: str | None
    started_at: float
    before: Reading | None = None


class Sampler:
    """Measures one attempt of a job. It records phases only, until `start`.

    An error never reaches the job: it is logged once, and is part of the document.

    Args:
        attempt: Number of the attempt.
        clock: Returns the seconds since the epoch.
        interval_s: Shortest time between measurements.

    Attributes:
        start_of_runner: Start of the runner, for the document; None if it is unknown.
    """

    def __init__(
        self,
        attempt: int,
        clock: Callable[[], float] = time.time,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        self.start_of_runner: RunnerStart | None = None
        self._attempt = attempt
        self._clock = clock
        self._interval_s = interval_s
        self._started_at = clock()
        self._phases: list[Phase] = []
        self._open: list[_OpenPhase] = []
        self._steps: dict[str, _StepTotals] = {}
        self._periods = Periods(interval_s)
        self._pull: ImagePull | None = None
        self._machine_started_at: float | None = None
        self._problems: dict[str, str] = {}
        self._lock = threading.Lock()  # of the values above
        self._meter: MachineMeter | None = None
        self._meter_lock = threading.Lock()  # only one measurement at a time
        self._is_prepared = False
        self._next_read_at = 0.0
        self._previous: Reading | None = None
        self._last_end: Reading | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._observer: Callable[[Reading], None] | None = None

    @contextlib.contextmanager
    def observed(self, observer: Callable[[Reading], None]) -> Iterator[None]:
        """Call the observer with each measurement of all quantities, in the sampler's thread."""
        self._observer = observer
        try:
            yield
        finally:
            self._observer = None

    @contextlib.contextmanager
    def phase(self, kind: PhaseKind, step: str | None = None) -> Iterator[None]:
        """Record a phase of the attempt; a `STEP` is measured."""
        phase = _OpenPhase(kind, step, self._clock())
        try:
            self._begin(phase)
            yield
        finally:
            self._end(phase)

    def start(self, store: ArtifactStore, key: str, meter: MachineMeter) -> None:
        """Measure in a thread, and write the document now and then.

        Args:
            store: Store of the run.
            key: Key of the document.
            meter: Measures the job.
        """
        self.begin(meter)
        self._thread = threading.Thread(
            target=self._run, args=(store, key), name="sampler", daemon=True
        )
        self._thread.start()

    def begin(self, meter: MachineMeter) -> None:
        """Take the first measurement, from which the others count."""
        first = meter.read()
        # The job has no children yet, so that their processor time is known.
        process = replace(first.process, children_cpu_s=0.0)
        self._meter, self._previous = meter, replace(first, process=process)
        self._started_at = first.at

    def close(self) -> None:
        """Measure for the last time, write the document, and stop. No-op after the first call."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=_CLOSE_TIMEOUT_S)

    def prepare(self) -> None:
        """Import and open what measurements need. It is done once, after the job has started."""
        if self._meter is not None and not self._is_prepared:
            with self._meter_lock:
                self._meter.prepare()
                self._is_prepared = True
            self._read_start()

    def sample(self) -> None:
        """Measure once, and add the values to the series and to the step that runs."""
        before = self._previous
        if self._meter is None or before is None:
            return
        with self._meter_lock:
            now = self._read(self._meter) if self._is_prepared else self._meter.read()
        start_s = max(0.0, before.at - self._started_at)
        end_s = max(start_s, now.at - self._started_at)
        with self._lock:
            self._periods.add(start_s, end_s, values_between(before, now))
            for phase in self._open:
                if (totals := self._totals(phase)) is not None:
                    totals.see(now)
            self._previous = now
        observer = self._observer
        if observer is not None and self._is_prepared:
            with self._reporting("use of the GPUs"):
                observer(now)

    def document(self) -> JobUsage:
        """Return the use of the machine so far."""
        with self._lock:
            now = self._clock()
            running = {phase.step: self._cpu_s_of(phase) for phase in self._open}
            open_phases = [
                Phase(kind=phase.kind, step=phase.step, started_at=phase.started_at, ended_at=now)
                for phase in self._open
            ]
            phases = sorted([*self._phases, *open_phases], key=lambda phase: phase.started_at)
            pull = self._pull or ImagePull()
            return JobUsage(
                attempt=self._attempt,
                started_at=self._started_at,
                period_s=self._periods.period_s,
                series=self._periods.series(),
                steps={
                    step: totals.usage(running.get(step, 0.0))
                    for step, totals in self._steps.items()
                },
                phases=tuple(map(_in_milliseconds, phases)),
                pull_started_at=pull.started_at,
                pull_ended_at=pull.ended_at,
                machine_started_at=self._machine_started_at,
                start=self.start_of_runner,
                missing=(
                    *(self._meter.missing if self._meter is not None else ()),
                    *self._problems.values(),
                ),
            )

    def _run(self, store: ArtifactStore, key: str) -> None:
        with self._reporting("measurements"):
            self._sample_until_closed(store, key)
        self._closed.wait()
        with self._reporting("last measurement"):
            self._read_start()
            is_recent = (
                self._previous is not None
                and self._clock() - self._previous.at < self._interval_s / 4
            )
            if not is_recent or not len(self._periods):
                self.sample()
        self._write(store, key)

    def _sample_until_closed(self, store: ArtifactStore, key: str) -> None:
        wait_s, write_at = self._interval_s, self._started_at + _FIRST_WRITE_S
        # Not `core.clock`: the processor time of a measurement is real, too.
        while not self._closed.wait(wait_s):
            self.prepare()
            self.sample()
            if (now := self._clock()) >= write_at:
                cpu_s = -time.thread_time()
                self._write(store, key)
                cpu_s += time.thread_time()
                pause_s = max(_FIRST_WRITE_S, (now - self._started_at) / 10)
                pause_s = min(pause_s, _LONGEST_WRITE_INTERVAL_S)
                write_at = now + max(pause_s, cpu_s / _MAX_WRITE_SHARE)
            wait_s = max(self._interval_s, self._next_read_at - self._clock())

    def _read(self, meter: MachineMeter) -> Reading:
        """Measure everything, and set the time of the next such measurement."""
        cpu_s = -time.thread_time()
        reading = meter.read()
        cpu_s += time.thread_time()
        self._next_read_at = reading.at + cpu_s / _MAX_SHARE
        return reading

    def _read_at_boundary(self) -> Reading | None:
        """Measure everything if that is possible now, or only what takes almost no time."""
        meter = self._meter
        if meter is None:
            return None
        may_read = self._is_prepared and self._clock() >= self._next_read_at
        if not may_read or not self._meter_lock.acquire(blocking=False):
            return meter.glance()
        try:
            return self._read(meter)
        finally:
            self._meter_lock.release()

    def _read_start(self) -> None:
        if self._pull is None:
            self._pull = ImagePull()
            self._machine_started_at = machine_started_at()
            with self._reporting("pull of the image"):
                self._pull = read_pull(os.environ)

    def _write(self, store: ArtifactStore, key: str) -> None:
        with self._reporting("this document"):
            store.put(key, within_limit(self.document())[1])

    def _begin(self, phase: _OpenPhase) -> None:
        if phase.kind is PhaseKind.STEP and phase.step is not None:
            with self._reporting("start of a step"):
                last = self._last_end
                is_now = last is not None and 0 <= phase.started_at - last.at < _SAME_MOMENT_S
                phase.before = last if is_now else self._read_at_boundary()
        with self._lock:
            if phase.step is not None and phase.before is not None:
                self._steps.setdefault(phase.step, _StepTotals())
            self._open.append(phase)

    def _end(self, phase: _OpenPhase) -> None:
        now: Reading | None = None
        if phase.before is not None:
            with self._reporting("end of a step"):
                self._last_end = now = self._read_at_boundary()
        with self._lock:
            if phase not in self._open:
                return
            self._open.remove(phase)
            totals = self._totals(phase)
            if totals is not None and now is not None and phase.before is not None:
                totals.end(phase.before, now)
            self._phases.append(
                Phase(
                    kind=phase.kind,
                    step=phase.step,
                    started_at=phase.started_at,
                    ended_at=max(phase.started_at, self._clock()),
                )
            )

    def _totals(self, phase: _OpenPhase) -> _StepTotals | None:
        """Return the totals of the step that a phase measures, if it measures one."""
        return None if phase.before is None else self._steps.get(phase.step or "")

    def _cpu_s_of(self, phase: _OpenPhase) -> float:
        """Return the processor time of a step that runs, until the last measurement."""
        if phase.before is None or self._previous is None or self._previous.at < phase.before.at:
            return 0.0
        return self._previous.cpu_s_since(phase.before)

    @contextlib.contextmanager
    def _reporting(self, name: str) -> Iterator[None]:
        """Record an error of the sampler, and continue."""
        try:
            yield
        except Exception as error:
            if name not in self._problems:
                self._problems[name] = f"{name}: {type(error).__name__}: {error}"
                say(f"use of the machine: {self._problems[name]}")


def _in_milliseconds(phase: Phase) -> Phase:
    return phase.model_copy(
        update={
            "started_at": round(phase.started_at, 3),
            "ended_at": round(phase.ended_at, 3),
        }
    )
