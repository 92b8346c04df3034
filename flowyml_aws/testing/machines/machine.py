"""Execution of the jobs of all services: each has a folder, a container and a log stream."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock, Thread

from flowyml_aws.core.emulated import NOT_EMULATED
from flowyml_aws.testing.clock import Clock, Timer
from flowyml_aws.testing.machines.container import Container, Containers, Running
from flowyml_aws.testing.machines.disks import Disks

__all__ = ["KILLED", "Ending", "Machine", "Task"]

KILLED = 128 + 9
"""Exit code of a container after SIGKILL."""

_NO_EFA = "a job of the emulator has no Elastic Fabric Adapter"

WriteLog = Callable[[str, str, list[str]], None]


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a task.

    Attributes:
        exit_code: Exit code of the container; None if it never started.
        error: Reason why the start or the post-processing failed.
        is_out_of_memory: Whether the container exceeded its memory limit.
    """

    exit_code: int | None = None
    error: str | None = None
    is_out_of_memory: bool = False


@dataclass(slots=True, eq=False)
class Task:
    """A single run of a container.

    Attributes:
        name: Unique name, also of its folder.
        log_group, log_stream: Destination of the output. The stream is created when the
            container is ready to start.
        prepare: Function that returns the container, given an empty folder; called without the
            lock.
        on_start: Callback for the start; called with the lock.
        finish: Post-processing, given the folder and the exit code, before the folder is removed;
            called without the lock.
        on_end: Callback for the end, also of a task that never started; called with the lock.
        running: The running container; None before the start and after the end.
        is_stopped: Whether the task was asked to stop.
        is_out_of_memory: Whether it was killed because of its memory.
        disk: Instance with the GiB of its disk for jobs; None for no limit.
    """

    name: str
    log_group: str
    log_stream: str
    prepare: Callable[[Path], Container]
    on_start: Callable[[], None]
    on_end: Callable[[Ending], None]
    finish: Callable[[Path, int], None] = lambda folder, exit_code: None
    running: Running | None = None
    is_stopped: bool = False
    is_out_of_memory: bool = False
    disk: tuple[str, int] | None = None
    _kill: Timer | None = field(default=None, repr=False)


class Machine:
    """Runs tasks, each on its own thread that waits for the container.

    Args:
        lock: Guards all state.
        containers: Implementation that starts containers.
        folder: Parent of the folders of tasks without a limited disk.
        disks: Disks of the instances.
        environment: Base environment of every container.
        write_log: Function (group, stream, lines) that appends lines to a log stream, and creates
            the stream if `lines` is empty; called without the lock.
        clock: Clock of the account, held while a task runs.

    Attributes:
        clock: Same as the argument.
    """

    def __init__(
        self,
        lock: RLock,
        *,
        containers: Containers,
        folder: Path,
        disks: Disks,
        environment: Mapping[str, str],
        write_log: WriteLog,
        clock: Clock,
    ) -> None:
        self.clock = clock
        self._lock = lock
        self._containers = containers
        self._folder = folder
        self._disks = disks
        self._environment = environment
        self._write_log = write_log
        self._tasks: dict[str, tuple[Task, Thread]] = {}
        self._is_stopping = False

    def start(self, task: Task) -> None:
        """Start a task."""
        thread = Thread(target=self._run, args=(task,), name=f"task-{task.name}", daemon=True)
        with self._lock:
            if not self._is_stopping:
                self._tasks[task.name] = task, thread
                self.clock.hold()
                thread.start()

    def end(self, task: Task, grace_s: float) -> None:
        """Send SIGTERM to a task, and SIGKILL after the grace period. Repeated calls are no-ops."""
        with self._lock:
            if task.is_stopped:
                return
            task.is_stopped = True
            if (running := task.running) is not None:
                running.terminate()
                task._kill = self.clock.after(grace_s, running.kill)

    def exceed_memory(self, task: Task) -> None:
        """Kill a task as the kernel does if it exceeds its memory limit."""
        with self._lock:
            if task.running is not None:
                task.is_out_of_memory = True
                task.running.kill()

    def stop(self) -> None:
        """Kill every task, and wait until all have ended."""
        with self._lock:
            self._is_stopping = True
            threads = [thread for _, thread in self._tasks.values()]
            for task, _ in self._tasks.values():
                task.is_stopped = True
                if task.running is not None:
                    task.running.kill()
        for thread in threads:
            thread.join()

    def _run(self, task: Task) -> None:
        disk = self._disks.enter(*task.disk) if task.disk is not None else None
        folder = (disk or self._folder) / task.name
        scratch = folder.with_name(f"{task.name}.scratch") if disk is not None else None
        try:
            ending = self._run_in(folder, scratch, task)
        except (OSError, ValueError) as error:  # ValueError: a null character in the command
            ending = Ending(error=str(error))
        finally:
            for path in filter(None, (folder, scratch)):
                shutil.rmtree(path, ignore_errors=True)
            if disk is not None and task.disk is not None:
                self._disks.leave(task.disk[0])
        with self._lock:
            del self._tasks[task.name]
            task.running = None
            if task._kill is not None:
                task._kill.cancel()
            task.on_end(ending)
            self.clock.release()

    def _run_in(self, folder: Path, scratch: Path | None, task: Task) -> Ending:
        def write(lines: list[str]) -> None:
            self._write_log(task.log_group, task.log_stream, lines)

        folder.mkdir(parents=True)
        if scratch is not None:
            scratch.mkdir()
        container = task.prepare(folder)
        write([])
        environment = {**self._environment, **container.environment}
        environment[f"{NOT_EMULATED}EFA"] = _NO_EFA
        if scratch is None:
            environment[f"{NOT_EMULATED}DISK"] = self._disks.unlimited(task.disk)
        container = replace(container, environment=environment, scratch=scratch)
        running = self._containers.start(container, write)
        with self._lock:
            task.running = running
            task.on_start()
            if task.is_stopped:
                running.kill()
        exit_code = running.wait()
        task.finish(folder, exit_code)
        is_killed = task.is_out_of_memory and exit_code == KILLED
        return Ending(exit_code, is_out_of_memory=running.is_out_of_memory or is_killed)
