"""What AWS Batch's scheduler does: jobs through their states, attempts through their lives."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Condition, RLock, Thread, current_thread

from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.jobs import Attempt, Job, Status
from flowyml_aws.testing.process import JobProcess
from flowyml_aws.testing.retry import Outcome, is_retried

__all__ = ["Scheduler"]

_TIMED_OUT = Outcome("Job attempt duration exceeded timeout", is_final=True)
_EXITED = "Essential container in task exited"

WriteLog = Callable[[str, str, list[str]], None]


class Scheduler:
    """Runs jobs as processes, each when its dependencies have succeeded and its needs are free.

    One thread decides; it sleeps until something happened or a timeout is due. Each attempt has a
    thread that waits for its process. A queue is first in, first out: a job that does not fit holds
    up those behind it in its queue, as in AWS.

    Args:
        lock: Guards all state. Callers that read a job's state hold it.
        capacity: What all running jobs share; None is unlimited.
        folder: Where the jobs' working directories are made and removed.
        environment: What every job's environment begins with.
        write_log: Appends lines to a log stream (group, stream, lines); called without the lock.
        time_scale: Real seconds for each second of a timeout or grace period.
        stop_grace_s: From SIGTERM to SIGKILL, before scaling.
    """

    def __init__(
        self,
        lock: RLock,
        *,
        capacity: Capacity | None,
        folder: Path,
        environment: Mapping[str, str],
        write_log: WriteLog,
        time_scale: float,
        stop_grace_s: float,
    ) -> None:
        self._changed = Condition(lock)
        self._free = capacity
        self._folder = folder
        self._environment = environment
        self._write_log = write_log
        self._time_scale = time_scale
        self._stop_grace_s = stop_grace_s
        self._jobs: dict[str, Job] = {}
        self._waiting: dict[str, Job] = {}
        self._running: dict[str, Job] = {}
        self._threads: set[Thread] = set()
        self._is_stopping = False
        self._thread = Thread(target=self._run, name="batch-scheduler", daemon=True)
        self._thread.start()

    @property
    def jobs(self) -> Mapping[str, Job]:
        """All jobs by id, in the order of their submission."""
        return self._jobs

    def submit(self, job: Job) -> None:
        """Take a job in."""
        with self._changed:
            self._jobs[job.job_id] = self._waiting[job.job_id] = job
            self._changed.notify()

    def cancel(self, job: Job, reason: str) -> None:
        """End a job that has not reached STARTING; others go on."""
        with self._changed:
            if job.status.is_before_starting:
                job.is_cancelled = True
                self._finish(job, Status.FAILED, reason)

    def terminate(self, job: Job, reason: str) -> None:
        """End a job, whatever it does."""
        with self._changed:
            if job.status.is_before_starting:
                job.is_terminated = True
                self._finish(job, Status.FAILED, reason)
            elif not job.status.is_final:
                job.is_terminated = True
                self._stop_attempt(job, Outcome(reason, is_final=True))

    def lose_host(self, job: Job) -> None:
        """Take away the instance that a job runs on, as a spot reclaim does."""
        with self._changed:
            if job.job_id not in self._running or job.attempt is None:
                raise ValueError(f"job {job.job_id} is {job.status.value}: it has no host to lose")
            job.attempt.is_host_lost = True
            host = job.attempt.instance_id
            self._stop_attempt(job, Outcome(f"Host EC2 (instance {host}) terminated."))

    def processes(self) -> dict[str, int]:
        """The running processes: job id to process id."""
        with self._changed:
            return {
                job.job_id: job.attempt.process.pid
                for job in self._running.values()
                if job.attempt is not None and job.attempt.process is not None
            }

    def stop(self) -> None:
        """Kill every process; returns when all are gone."""
        with self._changed:
            self._is_stopping = True
            for job in self._running.values():
                self._stop_attempt(job, Outcome("The emulator stopped", is_final=True))
                if job.attempt is not None and job.attempt.process is not None:
                    job.attempt.process.kill()
            threads = [self._thread, *self._threads]
            self._changed.notify()
        for thread in threads:
            thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._is_stopping:
                self._enforce_deadlines()
                for job in list(self._waiting.values()):
                    self._resolve_dependencies(job)
                self._place()
                self._changed.wait(self._seconds_to_next_deadline())

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        for job in self._running.values():
            attempt = job.attempt
            if attempt is None or attempt.process is None:
                continue
            if attempt.kill_at is not None and now >= attempt.kill_at:
                attempt.kill_at = None
                attempt.process.kill()
            elif attempt.timeout_at is not None and now >= attempt.timeout_at:
                self._stop_attempt(job, _TIMED_OUT)

    def _seconds_to_next_deadline(self) -> float | None:
        attempts = [job.attempt for job in self._running.values() if job.attempt is not None]
        due = [a.kill_at for a in attempts if a.kill_at is not None]
        due += [a.timeout_at for a in attempts if a.timeout_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _resolve_dependencies(self, job: Job) -> None:
        if job.status is Status.RUNNABLE:
            return
        parents = [self._jobs[parent["jobId"]].status for parent in job.depends_on]
        if Status.FAILED in parents:
            self._finish(job, Status.FAILED, "Dependent Job failed")
        elif all(status is Status.SUCCEEDED for status in parents):
            job.status = Status.RUNNABLE
        else:
            job.status = Status.PENDING

    def _place(self) -> None:
        blocked = set()
        for job in [job for job in self._waiting.values() if job.status is Status.RUNNABLE]:
            if job.queue_arn in blocked:
                continue
            if self._free is not None and not self._free.covers(job.needs):
                blocked.add(job.queue_arn)
                continue
            self._start_attempt(job)

    def _start_attempt(self, job: Job) -> None:
        if self._free is not None:
            self._free -= job.needs
        task = uuid.uuid4().hex
        attempt = Attempt(
            number=len(job.attempts) + 1,
            task_arn=f"{job.arn.rpartition(':')[0]}:task/emulator/{task}".replace(
                ":batch:", ":ecs:"
            ),
            instance_id=f"i-{uuid.uuid4().hex[:17]}",
            log_stream=f"{job.log_stream_prefix}/default/{task}",
        )
        job.status, job.status_reason, job.outcome = Status.STARTING, None, None
        job.attempt = attempt
        self._running[job.job_id] = self._waiting.pop(job.job_id)
        thread = Thread(
            target=self._attempt, args=(job, attempt), name=f"job-{job.job_id}", daemon=True
        )
        self._threads.add(thread)
        thread.start()

    def _attempt(self, job: Job, attempt: Attempt) -> None:
        folder = self._folder / f"{job.job_id}-{attempt.number}"
        try:
            outcome = self._run_process(job, attempt, folder)
        except (OSError, ValueError) as error:  # ValueError: a null character in the command
            reason = f"CannotStartContainerError: {error}"
            outcome = Outcome("Task failed to start", reason=reason)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        with self._changed:
            self._threads.discard(current_thread())
            self._end_attempt(job, attempt, outcome)

    def _run_process(self, job: Job, attempt: Attempt, folder: Path) -> Outcome:
        def write(lines: list[str]) -> None:
            self._write_log(job.log_group, attempt.log_stream, lines)

        folder.mkdir(parents=True)
        write([])  # the stream is there when the job is RUNNING, whatever it prints
        environment = {
            **self._environment,
            **job.environment,
            "AWS_BATCH_JOB_ID": job.job_id,
            "AWS_BATCH_JOB_ATTEMPT": str(attempt.number),
            "AWS_BATCH_JQ_NAME": job.queue_name,
            "AWS_BATCH_CE_NAME": job.compute_environment,
        }
        process = JobProcess(job.command, environment, folder, write)
        with self._changed:
            attempt.process = process
            attempt.started_ms = _now_ms()
            job.status = Status.RUNNING
            if attempt.stopped is not None:
                process.kill()
            elif job.timeout_s is not None:
                attempt.timeout_at = time.monotonic() + job.timeout_s * self._time_scale
                self._changed.notify()
        return Outcome(_EXITED, exit_code=process.wait())

    def _stop_attempt(self, job: Job, outcome: Outcome) -> None:
        attempt = job.attempt
        if attempt is None:
            return
        if attempt.stopped is not None:
            # Whoever terminates a job whose host is just being lost does not want it retried.
            if outcome.is_final and not attempt.stopped.is_final:
                attempt.stopped = outcome
            return
        attempt.stopped, attempt.timeout_at = outcome, None
        if attempt.process is not None:
            attempt.kill_at = time.monotonic() + self._stop_grace_s * self._time_scale
            attempt.process.terminate()
            self._changed.notify()

    def _end_attempt(self, job: Job, attempt: Attempt, outcome: Outcome) -> None:
        is_success = attempt.stopped is None and outcome.exit_code == 0
        if attempt.stopped is not None:
            # Nobody is left to tell the exit code of a container whose host is gone.
            exit_code = None if attempt.is_host_lost else outcome.exit_code
            outcome = replace(attempt.stopped, exit_code=exit_code)
        attempt.process = attempt.kill_at = attempt.timeout_at = None
        del self._running[job.job_id]
        if self._free is not None:
            self._free += job.needs
        job.record(attempt, outcome, _now_ms())
        if is_success:
            self._finish(job, Status.SUCCEEDED, outcome.status_reason)
        elif is_retried(job.retry_strategy, attempt.number, outcome):
            job.status = Status.RUNNABLE
            self._waiting[job.job_id] = job
            self._changed.notify()
        else:
            self._finish(job, Status.FAILED, outcome.status_reason)

    def _finish(self, job: Job, status: Status, reason: str) -> None:
        self._waiting.pop(job.job_id, None)
        job.status, job.status_reason, job.stopped_ms = status, reason, _now_ms()
        self._changed.notify()


def _now_ms() -> int:
    return int(time.time() * 1000)
