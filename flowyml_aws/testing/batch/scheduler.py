"""The emulated AWS Batch scheduler: states of jobs, and their attempts."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Condition, RLock, Thread
from typing import Any

from flowyml_aws.testing.batch.arrays import INDEX_VARIABLE, parent_ids
from flowyml_aws.testing.batch.fleet import Instance
from flowyml_aws.testing.batch.jobs import Attempt, Job, Nodes, Status
from flowyml_aws.testing.batch.metadata_api import METADATA_VARIABLE
from flowyml_aws.testing.batch.nodes import node_environment
from flowyml_aws.testing.batch.queues import Queues
from flowyml_aws.testing.batch.retry import Outcome, is_retried
from flowyml_aws.testing.batch.task_agent import TASK_VARIABLE, TaskAgent
from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.consistency import Listing
from flowyml_aws.testing.deviations import Deviations
from flowyml_aws.testing.iam.service_roles import ServiceRoles
from flowyml_aws.testing.machines.container import Container
from flowyml_aws.testing.machines.machine import KILLED, Ending, Machine, Task
from flowyml_aws.testing.registry.images import PULL_FAILED, pull_failure

__all__ = ["Scheduler"]

_TIMED_OUT = Outcome("Job attempt duration exceeded timeout", is_final=True)
_EXITED = "Essential container in task exited"
_ECS_REASON = re.compile(r"\w+Error: |ECS was unable")
_MAX_NEXT = 100  # waiting jobs that decide about the size of an instance
_CHILD_FAILED = "Array Child Job failed"  # from memory: the documentation has no text
_SEPARATOR = re.compile("[:#]")  # which names of containers can't contain
_OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


class Scheduler:
    """Runs jobs on a machine when their dependencies have succeeded and there is free capacity.

    One thread decides; it sleeps until something changes. A queue is first in, first out: a job
    that does not fit blocks later jobs of its queue, as on AWS. In a fair-share queue, jobs with a
    higher priority come first. Queues with a higher priority come first.

    Args:
        lock: Guards all state. Callers that read a job's state hold it.
        machine: Machine that runs the attempts.
        roles: Use of the account's roles.
        capacity: Capacity shared by all running jobs; None for no limit.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        queues: Queues and instances of the account, which decide where a job can start.
        metadata_url: Prefix of the URLs of the instances' metadata.
        agent: Agent of ECS, which knows when images were pulled.
        task_url: Prefix of the URLs of the tasks' metadata.
        listing: Queue and summary of each job, as ListJobs shows them.
        deviations: Deviations from AWS.
        start_failure: Function of the number of an attempt that returns ECS's reason if its start
            fails, otherwise None. The start of another node than the main node never fails so.
        on_end: Callback for the end of each job; called with the lock.
    """

    def __init__(
        self,
        lock: RLock,
        machine: Machine,
        roles: ServiceRoles,
        *,
        capacity: Capacity | None,
        stop_grace_s: float,
        queues: Queues,
        metadata_url: str,
        agent: TaskAgent,
        task_url: str,
        listing: Listing[tuple[str, dict[str, Any]]],
        start_failure: Callable[[int], str | None],
        deviations: Deviations,
        on_end: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self._changed = Condition(lock)
        self._machine = machine
        self._roles = roles
        self._clock = machine.clock
        self._free = capacity
        self._stop_grace_s = stop_grace_s
        self._queues = queues
        self._metadata_url = metadata_url
        self._agent = agent
        self._task_url = task_url
        self._listing = listing
        self._start_failure = start_failure
        self._deviations = deviations
        self._on_end = on_end
        self._jobs: dict[str, Job] = {}
        self._waiting: dict[str, Job] = {}
        self._running: dict[str, Job] = {}
        self._is_due = False
        self._is_stopping = False
        self._thread = Thread(target=self._run, name="batch-scheduler", daemon=True)
        self._thread.start()

    @property
    def jobs(self) -> Mapping[str, Job]:
        """All jobs by id, in submission order; jobs before their children and nodes."""
        return self._jobs

    def submit(self, job: Job) -> None:
        """Add a job, with its children if it is an array job, and its nodes if it has some."""
        with self._changed:
            for each in (job, *_nodes_of(job)):
                self._jobs[each.job_id] = each
                self.note(each)
            for each in job.children or (job,):
                self._jobs[each.job_id] = self._waiting[each.job_id] = each
                self.note(each)
            self._wake()

    def fail(self, job: Job, reason: str) -> None:
        """Add a job that Batch accepts, and moves to FAILED without starting it."""
        with self._changed:
            self._jobs[job.job_id] = job
            self._finish(job, Status.FAILED, reason)

    def cancel(self, job: Job, reason: str) -> None:
        """End a job that has not reached STARTING; any other job continues.

        Of an array job, those children are ended that have not reached STARTING.
        """
        with self._changed:
            job.is_cancelled = job.is_cancelled or job.status.is_before_starting
            for each in job.children or (job,):
                if each.status.is_before_starting:
                    each.is_cancelled = True
                    self._finish(each, Status.FAILED, reason)

    def terminate(self, job: Job, reason: str) -> None:
        """End a job in any state, and all children of an array job."""
        with self._changed:
            job.is_terminated = job.is_terminated or not job.status.is_final
            for each in job.children or (job,):
                if each.status.is_before_starting:
                    each.is_terminated = True
                    self._finish(each, Status.FAILED, reason)
                elif not each.status.is_final:
                    each.is_terminated = True
                    for part in _nodes_of(each) or (each,):
                        if part.job_id in self._running:
                            self._stop_attempt(part, Outcome(reason, is_final=True))

    def lose_host(self, job: Job, *, is_exit_reported: bool) -> None:
        """Remove the instance that a job runs on, with all its jobs, as a spot reclaim does.

        Args:
            job: Job or node in STARTING or RUNNING; of a multi-node job, its main node is lost.
            is_exit_reported: Whether ECS still reports the end of a container that exits within
                the grace period; otherwise, only the end of the host is known.
        """
        with self._changed:
            job = _main(job)
            if job.job_id not in self._running or job.attempt is None:
                raise ValueError(f"Job {job.job_id} has no host to lose: it is {job.status.value}")
            instance = job.attempt.instance
            self._queues.lose(instance)
            for other in list(self._running.values()):
                if other.attempt is not None and other.attempt.instance is instance:
                    other.attempt.is_host_lost = True
                    other.attempt.is_exit_reported = is_exit_reported
                    reason = f"Host EC2 (instance {instance.instance_id}) terminated."
                    self._stop_attempt(other, Outcome(reason))

    def exceed_memory(self, job: Job) -> None:
        """Kill the container of a running job, or of its main node, because of its memory.

        Raises:
            ValueError: The job has no container.
        """
        with self._changed:
            job = _main(job)
            if job.attempt is None or job.attempt.task.running is None:
                raise ValueError(f"Job {job.job_id} has no container: it is {job.status.value}")
            self._machine.exceed_memory(job.attempt.task)

    def processes(self) -> dict[str, int]:
        """Return the running process ids, by the id of the job or the node."""
        with self._changed:
            return {
                job.job_id: job.attempt.task.running.pid
                for job in self._running.values()
                if job.attempt is not None and job.attempt.task.running is not None
            }

    def tags_of_task(self, task_arn: str) -> Mapping[str, str]:
        """Return the tags that a running task of ECS has from its job; empty for no such task."""
        for job in self._running.values():
            if job.attempt is not None and job.attempt.task_arn == task_arn:
                whole = job.parent or job  # children and nodes have no tags of their own
                return whole.tags if whole.propagates_tags else {}
        return {}

    def note(self, job: Job) -> None:
        """Let ListJobs show the state of a job, after a delay."""
        self._listing.record(job.job_id, (_list_of(job), job.summary()))
        if job.parent is not None:
            self._update(job.parent, job)

    def listed(self, queue_or_job: str) -> list[dict[str, Any]]:
        """Return the jobs as ListJobs shows them, in submission order.

        Args:
            queue_or_job: ARN of a queue, whose lists leave out children and nodes, or of the job to
                which they belong.
        """
        return [summary for key, summary in self._listing.entries() if key == queue_or_job]

    def wake(self) -> None:
        """Check again which jobs can start."""
        with self._changed:
            self._wake()

    def stop(self) -> None:
        """Stop starting jobs."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._is_stopping:
                if not self._is_due:
                    self._changed.wait()
                    continue
                self._is_due = False
                for job in list(self._waiting.values()):
                    self._resolve_dependencies(job)
                self._place()
                self._clock.release()

    def _wake(self) -> None:
        """Let the thread decide. The clock is held until it has."""
        if not self._is_due:
            self._is_due = True
            self._clock.hold()
        self._changed.notify()

    def _resolve_dependencies(self, job: Job) -> None:
        if job.status is Status.RUNNABLE:
            return
        parents = [self._jobs[parent].status for parent in parent_ids(job)]
        if Status.FAILED in parents:
            self._finish(job, Status.FAILED, "Dependent Job failed")
        elif all(status is Status.SUCCEEDED for status in parents):
            job.status = Status.RUNNABLE
        else:
            job.status = Status.PENDING
        self.note(job)

    def _place(self) -> None:
        blocked = set()
        runnable = [job for job in self._waiting.values() if job.status is Status.RUNNABLE]
        # Jobs of a queue with equal priorities keep their order.
        runnable.sort(key=lambda job: (-job.priority, -job.scheduling_priority))
        for number, job in enumerate(runnable):
            if job.queue_arn in blocked:
                continue
            if (reason := self._queues.hold_reason(job)) is not None:
                job.status_reason = reason or None
                self.note(job)
                blocked.add(job.queue_arn)
                continue
            needs = _times(job.needs, job.machines)
            if self._free is not None and not self._free.covers(needs):
                blocked.add(job.queue_arn)
                continue
            if any(node.job_id in self._running for node in _nodes_of(job)):
                blocked.add(job.queue_arn)  # nodes of the last attempt are being stopped
                continue
            if self._free is not None:
                self._free -= needs
            if job.nodes is not None:
                self._start_nodes(job, self._queues.place_nodes(job))
                continue
            following = islice(runnable, number + 1, number + 1 + _MAX_NEXT)
            in_queue = [other for other in following if other.queue_arn == job.queue_arn]
            self._start_attempt(job, self._queues.place(job, in_queue))

    def _start_nodes(self, job: Job, instances: Sequence[Instance]) -> None:
        """Start the main node of a job, which then starts the others (`_record_start`)."""
        assert job.nodes is not None
        job.nodes.reserved = dict(enumerate(instances))
        main = job.nodes.main
        for node in job.nodes.others:
            node.status, node.status_reason, node.outcome = Status.SUBMITTED, None, None
            self.note(node)
        self._start_attempt(main, job.nodes.reserved.pop(main.index))
        job.status, job.status_reason, job.outcome = Status.STARTING, None, None
        job.attempt = main.attempt
        self.note(job)
        del self._waiting[job.job_id]

    def _start_attempt(self, job: Job, instance: Instance) -> None:
        number = job.attempts_made + 1
        is_other = job.group is not None and job is not job.group.main
        # Batch never repeats the start of another node: its job would wait for it in vain.
        failure = None if is_other else self._start_failure(number)
        task_id = uuid.uuid4().hex
        attempt = Attempt(
            number=number,
            task_arn=_task_arn(job, task_id),
            instance=instance,
            task=Task(
                name=_SEPARATOR.sub("-", f"{job.job_id}-{number}"),
                log_group=job.log_group,
                log_stream=f"{job.log_stream_prefix}/default/{task_id}",
                prepare=lambda folder: self._container(job, attempt, folder, failure),
                on_start=lambda: self._record_start(job, attempt),
                on_end=lambda ending: self._end_attempt(job, attempt, ending),
                disk=(instance.instance_id, self._deviations.disk_gib(instance.offer.disk_gib)),
            ),
        )
        job.status, job.status_reason, job.outcome = Status.STARTING, None, None
        job.attempt = attempt
        self.note(job)
        self._running[job.job_id] = job
        self._waiting.pop(job.job_id, None)
        self._machine.start(attempt.task)

    def _container(
        self, job: Job, attempt: Attempt, folder: Path, failure: str | None
    ) -> Container:
        if failure is not None:
            raise OSError(failure)
        pull_started_ms = self._clock.now_ms()
        image = str(job.properties.get("image", ""))
        credentials = self._roles.start_task(
            attempt.task_arn.rpartition("/")[2],
            job.properties.get("jobRoleArn"),
            job.properties.get("executionRoleArn"),
            image,
            f"{attempt.task.log_group}:{attempt.task.log_stream}",
        )
        secrets = self._roles.task_secrets(
            attempt.task_arn.rpartition("/")[2],
            job.properties.get("executionRoleArn"),
            job.properties.get("secrets") or (),
        )
        if (failure := pull_failure(image)) is not None:
            raise OSError(f"{PULL_FAILED}{failure}")
        self._agent.record_pull(attempt.task_arn, pull_started_ms, self._clock.now_ms())
        failure = self._queues.missing_device(attempt.instance.environment, job.properties)
        if failure is not None:
            raise OSError(failure)
        environment = {
            METADATA_VARIABLE: f"{self._metadata_url}{attempt.instance.instance_id}/",
            TASK_VARIABLE: f"{self._task_url}{attempt.task_arn.rpartition('/')[2]}",
            **credentials,
            **job.environment,
            **secrets,
            "AWS_BATCH_JOB_ID": job.job_id,
            "AWS_BATCH_JOB_ATTEMPT": str(attempt.number),
            **node_environment(job),
            **({INDEX_VARIABLE: str(job.index)} if job.is_child else {}),
            "AWS_BATCH_JQ_NAME": job.queue_name,
            "AWS_BATCH_CE_NAME": attempt.instance.environment,
        }
        shared_mib = (job.properties.get("linuxParameters") or {}).get("sharedMemorySize")
        return Container(
            image=image,
            command=job.command,
            environment=environment,
            folder=folder,
            memory_mib=job.needs.memory_mib or None,
            shared_memory_mib=self._deviations.shared_memory_mib(shared_mib),
            gpus=self._deviations.gpus(job.needs.gpus),
        )

    def _is_retried(self, job: Job, attempt: Attempt, outcome: Outcome) -> bool:
        is_due = is_retried(job.retry_strategy, attempt.number, outcome)
        return self._deviations.retries(is_due, outcome.exit_code)

    def _record_start(self, job: Job, attempt: Attempt) -> None:
        attempt.started_ms = self._clock.now_ms()
        for each in _decided_by(job):
            each.status = Status.RUNNING
            self.note(each)
        if job.group is not None and job is job.group.main:
            for node in job.group.others:
                self._start_attempt(node, job.group.reserved.pop(node.index))
        if job.timeout_s is not None:
            attempt.timeout = self._clock.after(
                job.timeout_s, lambda: self._stop_attempt(job, _TIMED_OUT)
            )

    def _stop_attempt(self, job: Job, outcome: Outcome) -> None:
        attempt = job.attempt
        if attempt is None:
            return
        if attempt.stopped is not None:
            # A job that is terminated while its host is being lost must not be retried.
            if outcome.is_final and not attempt.stopped.is_final:
                attempt.stopped = outcome
            return
        attempt.stopped = outcome
        self._machine.end(attempt.task, self._stop_grace_s)

    def _end_attempt(self, job: Job, attempt: Attempt, ending: Ending) -> None:
        if ending.error is None:
            reason = _OUT_OF_MEMORY if ending.is_out_of_memory else None
            outcome = Outcome(_EXITED, exit_code=ending.exit_code, reason=reason)
        else:
            outcome = _failed_start(ending.error)
        if attempt.is_exit_reported and outcome.exit_code not in (None, KILLED):
            # ECS reports the container's end before the host has gone, unless it was terminated.
            attempt.is_host_lost = False
            if attempt.stopped is not None and not attempt.stopped.is_final:
                attempt.stopped = None
        is_success = attempt.stopped is None and outcome.exit_code == 0
        if attempt.stopped is not None:
            # The exit code of a container is unknown if its host was lost.
            exit_code = None if attempt.is_host_lost else outcome.exit_code
            outcome = replace(attempt.stopped, exit_code=exit_code)
        if attempt.timeout is not None:
            attempt.timeout.cancel()
        del self._running[job.job_id]
        self._queues.release(job, attempt.instance)
        if self._free is not None:
            self._free += job.needs
        for each in _decided_by(job):
            each.record(attempt, outcome, self._clock.now_ms())
        status = Status.SUCCEEDED if is_success else Status.FAILED
        if job.group is not None:
            self._finish(job, status, outcome.status_reason)
            if job is not job.group.main:
                return  # Batch does nothing if another node than the main node ends
            self._stop_others(job.group)
        whole = _decided_by(job)[-1]
        if is_success or not self._is_retried(whole, attempt, outcome):
            self._finish(whole, status, outcome.status_reason)
        else:
            whole.status = Status.RUNNABLE
            self.note(whole)
            self._waiting[whole.job_id] = whole
            self._wake()

    def _stop_others(self, nodes: Nodes) -> None:
        """Stop the other nodes of a job whose main node has ended. Their exit codes decide."""
        for node in nodes.others:
            if node.job_id in self._running and node.attempt is not None:
                self._machine.end(node.attempt.task, self._stop_grace_s)
        for index, instance in nodes.reserved.items():
            self._queues.release(nodes.jobs[index], instance)
            if self._free is not None:
                self._free += nodes.jobs[index].needs
        nodes.reserved = {}

    def _update(self, array: Job, child: Job) -> None:
        """Update the state of an array job from the state of a child."""
        if array.array is None or not array.array.update(child, self._clock.now_ms()):
            return
        status = array.array.status
        if not status.is_final:
            array.status = status
            self.note(array)
        elif not array.status.is_final:
            self._finish(array, status, _CHILD_FAILED if status is Status.FAILED else "")

    def _finish(self, job: Job, status: Status, reason: str) -> None:
        self._waiting.pop(job.job_id, None)
        job.status, job.status_reason = status, reason or None
        job.stopped_ms = self._clock.now_ms()
        self.note(job)
        for node in _nodes_of(job):
            if not node.status.is_final and node.job_id not in self._running:
                node.status, node.status_reason = Status.FAILED, reason or None
                self.note(node)
        self._on_end(job)
        self._wake()


def _nodes_of(job: Job) -> Sequence[Job]:
    """Return the nodes of a multi-node job; none of any other job."""
    return () if job.nodes is None else job.nodes.jobs


def _main(job: Job) -> Job:
    """Return the main node of a multi-node job; any other job as it is."""
    return job if job.nodes is None else job.nodes.main


def _decided_by(job: Job) -> Sequence[Job]:
    """Return the jobs whose state a container decides: of a main node, also that of its job."""
    is_main = job.group is not None and job is job.group.main
    return (job, job.parent) if is_main and job.parent is not None else (job,)


def _times(needs: Capacity, machines: int) -> Capacity:
    return Capacity(needs.vcpus * machines, needs.memory_mib * machines, needs.gpus * machines)


def _list_of(job: Job) -> str:
    """Return the ARN of the queue, or of the job with children or nodes, whose list shows a job."""
    return job.queue_arn if job.parent is None else job.parent.arn


def _failed_start(error: str) -> Outcome:
    """Return the outcome of an attempt without an exit code, given ECS's reason or an error."""
    if error.startswith("CannotInspectContainerError:"):
        return Outcome(_EXITED, reason=error)
    reason = error if _ECS_REASON.match(error) else f"CannotStartContainerError: {error}"
    return Outcome("Task failed to start", reason=reason)


def _task_arn(job: Job, task_id: str) -> str:
    """Return the ARN of a task of ECS, in the account and region of its job."""
    arn, partition, _, region, account, _ = job.arn.split(":", 5)
    return f"{arn}:{partition}:ecs:{region}:{account}:task/emulator/{task_id}"
