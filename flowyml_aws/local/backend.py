"""Backend for jobs on this machine: one process per job, as many at once as fit."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import psutil

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core import clock
from flowyml_aws.core.errors import ArtifactNotFoundError, SettingsError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.local.processes import (
    ProcessIdentity,
    end_group,
    end_processes,
    find_runner,
    identify,
    kill_groups,
    this_process,
)
from flowyml_aws.packaging.starting import (
    ProgramProcess,
    ProgramStart,
    start_program,
)
from flowyml_aws.planning.environment import process_environment
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.exit_codes import BAD_INPUT, NODE_LOST
from flowyml_aws.runtime.heartbeat import HEARTBEAT
from flowyml_aws.submission.backend import JobState, JobStatus, LogLine
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.record import RunRecord
from flowyml_aws.submission.times import JobTimes

__all__ = ["LocalBackend", "Machine"]

DocumentT = TypeVar("DocumentT", bound=Document)

_GRACE_S = 10.0
_POLL_INTERVAL_S = 0.25
_CHILDREN_GRACE_S = 1.0
_MOST_ATTEMPTS = 5  # of a job that loses a node each time
_SILENCE_S = 120.0  # many heartbeats, for a machine that is busy
_NO_ROOM = "other jobs use the vCPUs or the memory of this machine"
_SIGNALS = {number.value: number.name for number in signal.Signals}


@dataclass(frozen=True, slots=True)
class Machine:
    """Resources that jobs may use at once; a job that requires more runs alone."""

    vcpus: int
    memory_mib: int

    @classmethod
    def this(cls) -> Machine:
        """Return the CPUs that this process may use, and the total memory."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return cls(vcpus=cpus or 1, memory_mib=psutil.virtual_memory().total // 2**20)


class _Exit(Document):
    """Exit of an attempt's process, as observed by the client that started it.

    Attributes:
        code: Return code of `subprocess`; None if the client ended the process when it stopped.
        reason: Reason of the end, or None if the code explains it.
    """

    code: int | None
    reason: str | None = None


class _AttemptClaim(ProcessIdentity):
    """The client that started an attempt, or wanted to.

    Attributes:
        repetition: Number of the job's repetition that it started, as far as it knew.
    """

    repetition: int = 0


class LocalBackend:
    """Runs jobs as subprocesses that write into the run's folder.

    A process outlives a killed client; the next client finds it through the store.
    """

    def __init__(
        self,
        store: DirectoryArtifactStore,
        record: RunRecord,
        plan: ExecutionPlan,
        machine: Machine,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        warm_starts: bool = False,
    ) -> None:
        self._store = store
        self._layout = RunLayout(record.run_id)
        self._record = record
        self._plan = plan
        self._before: dict[str, int] = {}
        self._repetitions: dict[str, int] = {}
        self._machine = machine
        self._environment = environment
        self._clock = clock
        self._warm_starts = warm_starts
        self._started: dict[str, int] = {}
        self._deadlines: dict[str, tuple[int | None, float]] = {}
        self._late: dict[str, str] = {}
        self._children: dict[str, ProgramProcess] = {}
        self._ended: dict[str, JobStatus] = {}
        self._times: dict[tuple[str, int], JobTimes] = {}
        self._process_ended = threading.Event()
        # Jobs that are ready, and wait until others end.
        self._held: list[str] = []

    def move(self, plan: ExecutionPlan) -> None:
        """Use a plan in which jobs are executed again: their earlier attempts do not count."""
        previous = {job.name: job for job in self._plan.jobs}
        self._plan = plan
        self._repetitions = {job.name: job.repetition for job in plan.jobs if job.repetition}
        self._before = {job.name: job.ended_attempts for job in plan.jobs if job.repetition}
        for job in plan.jobs:
            if job.submission != previous[job.name].submission:
                for known in (self._ended, self._children, self._started, self._late):
                    known.pop(job.name, None)

    def submit(self, jobs: Sequence[PlannedJob], succeeded: Collection[str]) -> None:
        """Start the jobs whose parents succeeded, in plan order, while resources are free.

        Jobs that another client has started meanwhile are not started again.
        """
        statuses = {job.name: self._status(job.name) for job in self._plan.jobs}
        running = [job for job in self._plan.jobs if statuses[job.name].state is JobState.RUNNING]
        jobs = [job for job in jobs if statuses[job.name].state is JobState.LOST]
        try:
            self._held = [job.name for job in jobs if set(job.after) <= set(succeeded)]
            for job in jobs:
                if job.name not in self._held:
                    continue
                if running and not self._has_room(running, job):
                    break  # later, smaller jobs must not delay a large job forever
                earlier = statuses[job.name].attempt or self._before.get(job.name, 0)
                self._start(job, earlier + 1)
                self._held.remove(job.name)
                running.append(job)
        except BaseException:
            self.release()  # no other client knows of them yet
            raise

    def statuses(self) -> Mapping[str, JobStatus]:
        """Return the statuses of the jobs that have an attempt, or that wait for resources.

        Lost attempts cost nothing here.
        """
        statuses = {job.name: self._status(job.name) for job in self._plan.jobs}
        held = dict.fromkeys(self._held, JobStatus(JobState.LOST, reason=_NO_ROOM))
        return held | {
            name: replace(
                status,
                lost=_lost_attempts(status, self._before.get(name, 0)),
                times=self._times_of(name, status.attempt),
            )
            for name, status in statuses.items()
            if status.attempt
        }

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        """Return lines of the newest attempt, and of attempts that begin after the first call."""
        newest = self._newest_attempt(job)
        attempt, _, offset = (cursor or f"{newest}:0").partition(":")
        number, start = int(attempt), int(offset)
        lines: list[bytes] = []
        while 0 < number <= newest:
            # Checked before the log is read: later lines belong to the next call.
            is_complete = number < newest or self._status(job).state is not JobState.RUNNING
            data = self._log_from(job, number, start)
            read = data if is_complete else data[: data.rfind(b"\n") + 1]
            lines += read.removesuffix(b"\n").split(b"\n") if read else []
            cursor = f"{number}:{start + len(read)}"
            number, start = number + 1, 0
        return [LogLine(job, line.decode(errors="replace").rstrip("\r")) for line in lines], cursor

    def cancel(self, jobs: Sequence[PlannedJob]) -> Sequence[str]:
        """End the jobs' processes, whichever client started them, and wait until they end.

        A process on another machine is given up. It ends when it notices that.
        """
        attempts = {job.name: self._newest_attempt(job.name) for job in jobs}
        runners = {name: self._runner(name, attempt) for name, attempt in attempts.items()}
        end_processes([runner for runner in runners.values() if runner is not None], _GRACE_S)
        for name, attempt in attempts.items():
            process = runners[name] or self._claimant(name, attempt)
            if process is not None and not process.is_here():
                self._give_up(name, attempt)
        return ()

    def release(self) -> None:
        """End the processes that this client started; another client can start the jobs again."""
        running = {
            job: attempt
            for job, attempt in self._started.items()
            if not self._status(job).state.ended
        }
        runners = [self._runner(job, attempt) for job, attempt in running.items()]
        try:
            end_processes([runner for runner in runners if runner is not None], _GRACE_S)
        except BaseException:  # an interrupt, perhaps before the processes got a signal
            kill_groups(self._children[job].pid for job in running if job in self._children)
            raise
        finally:
            for job, attempt in running.items():
                self._give_up(job, attempt)
                self._started.pop(job)
                if (child := self._children.pop(job, None)) is not None:
                    child.wait()

    def pause(self) -> None:
        """Wait until a process ends, or for a short time."""
        self._process_ended.wait(_POLL_INTERVAL_S)
        self._process_ended.clear()

    def _has_room(self, running: Sequence[PlannedJob], job: PlannedJob) -> bool:
        vcpus = sum(other.needs.vcpus for other in (*running, job))
        memory_mib = sum(other.needs.memory_mib for other in (*running, job))
        return vcpus <= self._machine.vcpus and memory_mib <= self._machine.memory_mib

    def _start(self, job: PlannedJob, attempt: int) -> None:
        key = self._layout.attempt(job.name, attempt, "claim.json")
        claim = _AttemptClaim(**dict(this_process()), repetition=job.repetition)
        if not self._store.create(key, claim.to_json()):
            return  # another client starts this attempt
        self._started[job.name] = attempt
        try:
            child = self._start_runner(job, attempt)
        except OSError as error:
            raise SettingsError(
                what=f"Can't start job {job.name!r} on this machine",
                why=f"{error.filename}: {error.strerror}" if error.filename else str(error),
                fix="end other processes, or free disk space; then continue the run with "
                f"`flowyml-aws attach {self._record.run_id}`",
            ) from error
        identity = self._layout.attempt(job.name, attempt, "process.json")
        self._store.put(identity, identify(child.pid).to_json())
        self._children[job.name] = child
        self._deadlines[job.name] = (job.timeout_s, self._clock())
        threading.Thread(target=self._notify_of_exit, args=(child,), daemon=True).start()

    def _start_runner(self, job: PlannedJob, attempt: int) -> ProgramProcess:
        log = self._log(job.name, attempt)
        with self._store.open_new(self._layout.attempt(job.name, attempt, "log.txt")) as output:
            return start_program(
                ProgramStart(
                    module="flowyml_aws.job",
                    arguments=(self._argument(job.name),),
                    cwd=log.parent,  # on sys.path; the spec names the working directory
                    env={
                        **process_environment(job, self._environment),
                        "FLOWYML_ATTEMPT": str(attempt),
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # A job that uses a GPU gets a process that has never loaded its driver.
                    can_be_warm=self._warm_starts and job.needs.gpu_count == 0,
                )
            )

    def _notify_of_exit(self, child: ProgramProcess) -> None:
        child.wait()
        self._process_ended.set()

    def _give_up(self, job: str, attempt: int) -> None:
        exit_key = self._layout.attempt(job, attempt, "exit.json")
        self._store.create(exit_key, _Exit(code=None).to_json())

    def _argument(self, job: str) -> str:
        return self._record.spec_argument(job, self._store.uri)

    def _newest_attempt(self, job: str) -> int:
        return max(map(int, self._store.children(self._layout.attempts(job))), default=0)

    def _status(self, job: str) -> JobStatus:
        if job not in self._ended:
            status = self._current_status(job)
            if not status.state.ended:
                return status
            self._ended[job] = status
        return self._ended[job]

    def _current_status(self, job: str) -> JobStatus:
        if (child := self._children.get(job)) is not None:
            return self._status_of_child(job, self._started[job], child)
        attempt = self._newest_attempt(job)
        if attempt <= self._attempts_before(job):
            return JobStatus(JobState.LOST)
        recorded_exit = self._read(_Exit, job, attempt, "exit.json")
        if recorded_exit is not None:
            return self._status_of_exit(job, attempt, recorded_exit)
        process = self._runner(job, attempt) or self._claimant(job, attempt)
        if process is not None and not process.is_here():
            return self._status_elsewhere(job, attempt, process.host)
        if process is not None and process.is_alive():
            return JobStatus(JobState.RUNNING, attempt)
        # Its client is gone too, or it would have recorded the exit. The result, if any, counts.
        return JobStatus(JobState.LOST, attempt, "its process no longer exists")

    def _status_elsewhere(self, job: str, attempt: int, host: str) -> JobStatus:
        """Return the status of an attempt whose process this machine can't see."""
        names = (HEARTBEAT, "process.json", "claim.json")
        written_at = self._store.modified_at(
            self._layout.attempt(job, attempt, name) for name in names
        )
        silent_s = clock.passed_s(self._store.now() - written_at)
        if silent_s < _SILENCE_S:
            reason = (
                f"on the machine {host}; if it does not report for {_SILENCE_S:g} s, the job can "
                "be started again"
            )
            return JobStatus(JobState.RUNNING, attempt, reason)
        reason = f"the machine {host}, which ran it, does not report any more"
        return JobStatus(JobState.LOST, attempt, reason)

    def _status_of_child(self, job: str, attempt: int, child: ProgramProcess) -> JobStatus:
        code = child.poll()
        if code is None:
            self._end_if_late(job, child)
            return JobStatus(JobState.RUNNING, attempt)
        end_group(child.pid, _CHILDREN_GRACE_S)
        ended = _Exit(code=code, reason=self._late.get(job))
        self._store.create(self._layout.attempt(job, attempt, "exit.json"), ended.to_json())
        return self._status_of_exit(job, attempt, ended)

    def _status_of_exit(self, job: str, attempt: int, process_exit: _Exit) -> JobStatus:
        is_repeated = attempt - self._before.get(job, 0) < _MOST_ATTEMPTS
        if process_exit.code == NODE_LOST and is_repeated:
            return JobStatus(JobState.LOST, attempt, "one of its nodes ended or did not start")
        return _status_of_exit(process_exit, attempt)

    def _end_if_late(self, job: str, child: ProgramProcess) -> None:
        """Kill a job that does not end itself after its time limit, as AWS Batch does.

        Timers of a process that is stopped (SIGSTOP) do not run. The clock does not run while this
        machine is suspended, either.
        """
        limit_s, began = self._deadlines[job]
        if job in self._late or limit_s is None or self._clock() - began < limit_s:
            return
        self._late[job] = f"it was killed after its time limit of {limit_s} s"
        kill_groups([child.pid])

    def _times_of(self, job: str, attempt: int) -> JobTimes:
        """Return the start of the process of an attempt, once it is recorded."""
        if (job, attempt) not in self._times:
            process = self._read(ProcessIdentity, job, attempt, "process.json")
            if process is None:
                return JobTimes()
            self._times[job, attempt] = JobTimes(started_at=process.started_at)
        return self._times[job, attempt]

    def _attempts_before(self, job: str) -> int:
        """Return the number of the attempts before the latest repetition of a job.

        A client that did not know of the repetition may have started some since it was recorded.
        """
        if (repetition := self._repetitions.get(job, 0)) == 0:
            return 0
        before = self._before[job]
        while (claim := self._claimant(job, before + 1)) and claim.repetition < repetition:
            before += 1
        self._before[job] = before
        return before

    def _claimant(self, job: str, attempt: int) -> _AttemptClaim | None:
        """Return the client that started an attempt, or wanted to."""
        return self._read(_AttemptClaim, job, attempt, "claim.json") if attempt else None

    def _runner(self, job: str, attempt: int) -> ProcessIdentity | None:
        """Return the process of an attempt, even if its client died before it recorded it."""
        recorded = self._read(ProcessIdentity, job, attempt, "process.json")
        return recorded or (find_runner(self._argument(job)) if attempt else None)

    def _log(self, job: str, attempt: int) -> Path:
        return self._store.path(self._layout.attempt(job, attempt, "log.txt"))

    def _log_from(self, job: str, attempt: int, start: int) -> bytes:
        try:
            with self._log(job, attempt).open("rb") as file:
                file.seek(start)
                return file.read()
        except FileNotFoundError:
            return b""

    def _read(
        self, kind: type[DocumentT], job: str, attempt: int, document: str
    ) -> DocumentT | None:
        key = self._layout.attempt(job, attempt, document)
        try:
            return read_document(kind, self._store.get(key), f"{self._store.uri}/{key}")
        except ArtifactNotFoundError:
            return None


def _lost_attempts(status: JobStatus, before: int) -> tuple[EndedAttempt, ...]:
    """Return the attempts before the current one, each of which has disappeared.

    Args:
        status: Status of the job.
        before: Number of the attempts that do not count any more.
    """
    last = status.attempt + (status.state is JobState.LOST)
    return tuple(EndedAttempt(repeated_as=number) for number in range(before + 2, last + 1))


def _status_of_exit(process_exit: _Exit, attempt: int) -> JobStatus:
    code = process_exit.code
    if process_exit.reason is not None:
        return JobStatus(JobState.FAILED, attempt, process_exit.reason)
    if code is None:
        return JobStatus(JobState.LOST, attempt, "the client that ran it was interrupted")
    if code == 0:
        return JobStatus(JobState.SUCCEEDED, attempt)
    if code == NODE_LOST:
        reason = f"one of its nodes ended or did not start, in each of {_MOST_ATTEMPTS} attempts"
        return JobStatus(JobState.FAILED, attempt, reason, Cause.CAPACITY)
    if code > 0:
        cause = Cause.SETUP if code == BAD_INPUT else None
        reason = f"its process ended with exit code {code}"
        return JobStatus(JobState.FAILED, attempt, reason, cause=cause)
    name = _SIGNALS.get(-code, f"signal {-code}")
    hint = ": perhaps out of memory" if name == "SIGKILL" else ""
    return JobStatus(JobState.FAILED, attempt, f"its process was ended by {name}{hint}")
