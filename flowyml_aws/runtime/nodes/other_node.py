"""A node that is not the main one: it calls functions when the main node says so."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core import clock
from flowyml_aws.core.emulated import NODE_ADDRESS_VARIABLE
from flowyml_aws.core.errors import AwsUnavailableError, FlowymlError
from flowyml_aws.runtime.data_folders import OpenPrefixes
from flowyml_aws.runtime.exit_codes import INTERRUPTED, SUCCEEDED
from flowyml_aws.runtime.failures import NodeFailure, describe_job_failure
from flowyml_aws.runtime.interruption import Interrupted
from flowyml_aws.runtime.log import say, show
from flowyml_aws.runtime.nodes.channel import Channel, ChannelClosedError
from flowyml_aws.runtime.nodes.environment import this_machines_gpus
from flowyml_aws.runtime.nodes.function import bind_function, describe_failure
from flowyml_aws.runtime.nodes.identity import NodeIdentity
from flowyml_aws.runtime.nodes.launching import launch_of
from flowyml_aws.runtime.nodes.meeting import join, read_place
from flowyml_aws.runtime.nodes.messages import End, Go, Hello, NodeCall, Outcome, Ready, Stop
from flowyml_aws.runtime.nodes.stopping import MainThreadStop
from flowyml_aws.runtime.out_of_memory import oom_kills
from flowyml_aws.runtime.payload import Payload
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.preparation import prepare_code
from flowyml_aws.runtime.result import read_result
from flowyml_aws.runtime.spec import JobSpec

__all__ = ["follow"]


class _Stopped(BaseException):
    """The main node has stopped the function. Not an `Exception`, so steps do not swallow it."""


def follow(
    spec: JobSpec,
    store: ArtifactStore,
    platform: Platform,
    node: NodeIdentity,
    folder: Path,
    grace_s: float,
    resolve_secret: Callable[[str], str],
    open_prefixes: OpenPrefixes,
) -> int:
    """Call functions for the main node until the job ends. Return the exit code.

    Nothing is written to the store, and no failure ends this process: the main node reports them.

    Args:
        spec: Spec of the job.
        store: Store that holds the run.
        platform: Platform that runs this process.
        node: Index of this node, and number of nodes.
        folder: Empty folder for the code and for inputs that are files.
        grace_s: Seconds that a function has to stop.
        resolve_secret: Returns the value of a reference to a secret.
        open_prefixes: Opens prefixes of S3.

    Raises:
        Interrupted: The platform asked this node to stop.
        AwsUnavailableError: The store did not answer for too long.
    """
    layout = RunLayout(spec.run_id)
    repetition = platform.repetitions.get(spec.job, 0)
    channel = join(
        read=lambda: read_place(store, layout, spec.job, platform.attempt),
        is_over=lambda: read_result(store, spec.run_id, spec.job, repetition) is not None,
        own_address=os.environ.get(NODE_ADDRESS_VARIABLE),
    )
    if channel is None:
        say(f"node {node.index} of {node.count}: no main node to follow")
        return INTERRUPTED
    say(f"node {node.index} of {node.count}, job {spec.job}: connected to the main node")
    follower = _Follower(spec, store, platform, node, folder, channel, grace_s, open_prefixes)
    try:
        channel.send(Hello(node=node.index, gpus=this_machines_gpus()))
        follower.listen()
        return follower.serve(resolve_secret)
    except ChannelClosedError:
        say("the main node is gone")
        return INTERRUPTED


class _Follower:
    """The connection to the main node, and the calls that it makes."""

    def __init__(
        self,
        spec: JobSpec,
        store: ArtifactStore,
        platform: Platform,
        node: NodeIdentity,
        folder: Path,
        channel: Channel,
        grace_s: float,
        open_prefixes: OpenPrefixes,
    ) -> None:
        self._spec, self._store, self._platform, self._node = spec, store, platform, node
        self._channel, self._grace_s = channel, grace_s
        self._open_prefixes = open_prefixes
        self._folder, self._scratch = folder, folder / "assets"
        self._roots = (folder / "code", Path(spec.code.root))
        self._calls: queue.SimpleQueue[NodeCall | None] = queue.SimpleQueue()
        self._goes: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._stops: dict[int, MainThreadStop] = {}
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._is_busy = True
        self._done = 0

    def listen(self) -> None:
        """Receive messages in a thread, so that this node ends whatever its function does."""
        threading.Thread(target=self._receive, name="main node", daemon=True).start()

    def serve(self, resolve_secret: Callable[[str], str]) -> int:
        """Load the code, and make the calls of the main node. Return the exit code."""
        try:
            payload, _ = prepare_code(
                self._store,
                self._spec,
                self._folder,
                resolve_secret,
                lambda _: contextlib.nullcontext(),
            )
        except AwsUnavailableError:
            raise
        except Exception as error:  # whatever the user's modules raise
            failure = describe_job_failure(error, self._roots)
            show(failure.text)
            self._report(0, "failed", error)
            self._wait_for_end()
        else:
            while (call := self._next_call()) is not None:
                self._make(call, payload)
        return SUCCEEDED

    def _wait_for_end(self) -> None:
        while self._next_call() is not None:
            pass  # the call has failed already

    def _next_call(self) -> NodeCall | None:
        with self._lock:
            self._is_busy = False
        call = self._calls.get()
        with self._lock:
            self._is_busy = True
        return call

    def _make(self, call: NodeCall, payload: Payload) -> None:
        (spec,) = call.spec.steps
        stop = self._stops[call.number]
        kills = oom_kills()
        launch = None
        try:
            with stop.armed():
                launch = launch_of(spec, call, self._node.index, self._scratch)
                function: Callable[[], object] = _nothing
                if launch.needs_inputs:
                    function = bind_function(
                        call,
                        payload,
                        self._store,
                        self._platform,
                        self._scratch,
                        self._roots,
                        self._open_prefixes,
                    )
                self._channel.send(Ready(number=call.number))
                while self._goes.get() != call.number:
                    pass
                launch.on_other(function)
            self._report(call.number, "returned")
        except _Stopped:
            self._report(call.number, "stopped")
        except (Interrupted, ChannelClosedError, AwsUnavailableError):
            raise  # not a failure of the step: this node is lost
        except BaseException as error:  # the user's code may raise anything, even SystemExit
            self._report(call.number, "failed", error, kills)
        finally:
            with self._lock:
                self._done = call.number
                if self._timer is not None:
                    self._timer.cancel()

    def _report(
        self,
        number: int,
        state: str,
        error: BaseException | None = None,
        kills: int | None = None,
    ) -> None:
        at, failure = time.time(), None
        if error is not None:
            place = f"node {self._node.index}"
            failure = describe_failure(error, place, self._roots, kills)
            at = error.at if isinstance(error, NodeFailure) else at
        outcome = Outcome.model_validate(
            {"number": number, "state": state, "at": at, "failure": failure}
        )
        self._channel.send(outcome)

    def _receive(self) -> None:
        try:
            while True:
                match self._channel.receive():
                    case NodeCall() as call:
                        self._stops[call.number] = MainThreadStop()
                        self._calls.put(call)
                    case Go(number=number):
                        self._goes.put(number)
                    case Stop(number=number):
                        self._stop(number)
                    case End():
                        self._end()
                        return
                    case message:
                        say(f"unexpected message of the main node: {message!r}")
        except (ChannelClosedError, FlowymlError) as error:
            say(f"the main node is gone: {error}")
            _exit(INTERRUPTED)

    def _stop(self, number: int) -> None:
        with self._lock:
            if number <= self._done or number not in self._stops:
                return
            self._timer = threading.Timer(clock.real_s(self._grace_s), self._report_stuck, [number])
            self._timer.daemon = True
            self._timer.start()
        self._stops[number].stop(_Stopped())

    def _report_stuck(self, number: int) -> None:
        with contextlib.suppress(ChannelClosedError):
            self._report(number, "stuck")

    def _end(self) -> None:
        """Let the main thread end, or end the process if its function still runs."""
        with self._lock:
            if not self._is_busy:
                self._calls.put(None)
                return
        _exit(SUCCEEDED)


def _nothing() -> None:
    """The part of a node that only belongs to a cluster."""


def _exit(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed or replaced
            stream.flush()
    os._exit(code)
