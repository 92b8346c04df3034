"""All measurements of a job together. An error in one of them leaves out that quantity only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.meters.container import ContainerMeter
from flowyml_aws.runtime.meters.gpus import GpuMeter, open_gpus
from flowyml_aws.runtime.meters.network import network_mib
from flowyml_aws.runtime.meters.processes import ProcessMeter
from flowyml_aws.runtime.meters.reading import ProcessReading, Reading

__all__ = ["MachineMeter"]

Value = TypeVar("Value")

_CHILDREN = "child processes that run"
_NOT_REPORTED = "this operating system or container does not report it"
_NOTHING = ProcessReading(cpu_s=0.0, children_cpu_s=None, memory_mib=0.0)


class _ProcessMeter(Protocol):
    def prepare(self) -> None: ...
    def glance(self) -> ProcessReading: ...
    def read(self) -> ProcessReading: ...


class MachineMeter:
    """Measures a job.

    Args:
        processes: Meter of processor, memory and disk.
        open_gpus: Returns the meter of the GPUs, if there are any.
        clock: Returns the seconds since the epoch.
    """

    def __init__(
        self,
        processes: _ProcessMeter,
        open_gpus: Callable[[], GpuMeter | None] = open_gpus,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._processes = processes
        self._open_gpus = open_gpus
        self._clock = clock
        self._gpus: GpuMeter | None = None
        self._missing: dict[str, str] = {}

    @classmethod
    def of_job(cls, fills_container: bool) -> MachineMeter:
        """Return the meter for a job.

        Args:
            fills_container: Whether the container has no other processes than the job's.
        """
        container = ContainerMeter.find() if fills_container else None
        return cls(container or ProcessMeter())

    @property
    def missing(self) -> tuple[str, ...]:
        """Reason why a quantity is not measured, one for each cause."""
        return tuple(self._missing.values())

    def prepare(self) -> None:
        """Import what `read` needs, and look for GPUs."""
        self._attempt(_CHILDREN, self._processes.prepare)
        self._gpus = self._attempt("GPUs", self._open_gpus)

    def glance(self) -> Reading:
        """Return processor and memory, which are measured in a fraction of a millisecond."""
        process = self._attempt("processor and memory", self._processes.glance)
        return Reading(self._clock(), process or _NOTHING)

    def read(self) -> Reading:
        """Return all quantities; before `prepare`, without running children and GPUs."""
        process = self._attempt("processor and memory", self._processes.read)
        network = self._attempt("network", network_mib)
        gpus = None if self._gpus is None else self._attempt("GPUs", self._gpus.read)
        if process is not None and process.disk_mib is None:
            self._miss("disk", _NOT_REPORTED)
        if network is None:
            self._miss("network", _NOT_REPORTED)
        return Reading(self._clock(), process or _NOTHING, network, gpus or ())

    def _attempt(self, quantity: str, measure: Callable[[], Value]) -> Value | None:
        """Measure a quantity, unless it has failed before."""
        if quantity in self._missing:
            return None
        try:
            return measure()
        except Exception as error:  # a measurement is optional: the job must continue
            self._miss(quantity, f"{type(error).__name__}: {error}")
            return None

    def _miss(self, quantity: str, reason: str) -> None:
        if quantity not in self._missing:
            self._missing[quantity] = f"{quantity}: {reason}"
            say(f"use of the machine is not measured: {self._missing[quantity]}")
