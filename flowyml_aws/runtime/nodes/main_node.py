"""The main node: waits for the others, calls functions on all nodes, and watches them."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core import clock
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.exit_codes import NODE_LOST
from flowyml_aws.runtime.failures import NodeFailure
from flowyml_aws.runtime.interruption import Interrupted, NodeLost
from flowyml_aws.runtime.log import say
from flowyml_aws.runtime.nodes.channel import Channel, ChannelClosedError, accept, listen
from flowyml_aws.runtime.nodes.environment import this_machines_gpus
from flowyml_aws.runtime.nodes.launching import Launch, launch_of
from flowyml_aws.runtime.nodes.meeting import NODE_WAIT_S, MeetingPlace, write_place
from flowyml_aws.runtime.nodes.messages import (
    End,
    Go,
    Hello,
    Member,
    Message,
    NodeCall,
    Outcome,
    Ready,
    Stop,
)
from flowyml_aws.runtime.nodes.on_this_machine import NodeProcess, end_nodes
from flowyml_aws.runtime.nodes.stopping import MainThreadStop
from flowyml_aws.runtime.spec import StepSpec
from flowyml_aws.runtime.time_limit import GRACE_S

__all__ = ["MainNode", "free_port"]

_POLL_S = 0.2
_ANSWER_S = 30.0
"""Seconds in which a node reports that it has stopped, or can't be stopped."""
_SETTLE_S = 2.0
"""Seconds in which the failure of a node arrives that has caused another one."""


@dataclass(slots=True)
class _Peer:
    """Another node that has connected, and what it has reported on the current call."""

    index: int
    channel: Channel
    gpus: int
    is_ready: bool = False
    outcome: Outcome | None = None


@dataclass
class MainNode:
    """The other nodes of an attempt, as the main node sees them.

    Attributes:
        attempt: Attempt that the main node runs.
        count: Number of nodes.
        address: Own address.
        scratch: Folder for files of calls.
        wait_s: Seconds to wait for the other nodes.
        grace_s: Seconds that a function has to stop.
    """

    attempt: Attempt
    count: int
    address: str
    scratch: Path
    wait_s: float = NODE_WAIT_S
    grace_s: float = GRACE_S
    _peers: dict[int, _Peer] = field(default_factory=dict)
    _called: list[_Peer] = field(default_factory=list)  # nodes of the current call
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _lost: str | None = None
    _failed: Outcome | None = None  # of a node that can't load the code
    _has_ended: bool = False
    _call: int = 0
    _raised_at: float | None = None  # by the function of the main node
    _stop: MainThreadStop | None = None
    _on_stuck: Callable[[BaseException], None] = field(default=lambda _: None)
    _timer: threading.Timer | None = None
    _listener: socket.socket | None = None
    _processes: list[NodeProcess] = field(default_factory=list)

    def open(self) -> None:
        """Listen for the other nodes, and write the address for them to the store.

        Raises:
            AwsRefusedError: The store denied the write.
        """
        key = secrets.token_bytes(32)
        self._listener = listen(self.address, backlog=self.count)
        place = MeetingPlace(
            address=self.address, port=self._listener.getsockname()[1], key=key.hex()
        )
        threading.Thread(
            target=self._accept, args=(self._listener, key), name="nodes", daemon=True
        ).start()
        attempt = self.attempt
        layout = RunLayout(attempt.spec.run_id)
        write_place(attempt.store, layout, attempt.spec.job, attempt.number, place)

    def start_others(self, start: Callable[[int, int], NodeProcess]) -> None:
        """Start the other nodes, if the platform has not.

        Args:
            start: Starts the node of an index, of a number of nodes.
        """
        self._processes = [start(index, self.count) for index in range(1, self.count)]

    @contextlib.contextmanager
    def calling(
        self,
        spec: StepSpec,
        attempt: Attempt,
        must_stop: bool,
        on_stuck: Callable[[BaseException], None],
    ) -> Iterator[Callable[[Callable[[], Any]], Any]]:
        """Call the function of a step on all nodes.

        Yield a function that calls the main node's part together with those of the others, and
        returns its value once they have succeeded, too. It runs in the main thread. The block
        begins when all nodes have loaded their inputs, and if it raises, the others are stopped.

        Args:
            spec: Spec of the step.
            attempt: The attempt, whose assets the others read.
            must_stop: Whether the function may be called again, so that the others must stop.
            on_stuck: Ends the process with an exception of the step, because code on a node can't
                be stopped.

        Raises:
            NodeLost: A node has ended or did not appear.
            NodeFailure: The function has failed on another node.
        """
        self._wait_for_all()
        stop = self._begin(spec, on_stuck)
        call = self._new_call(spec, attempt)
        try:
            self._send(call)
            self._wait(lambda: all(peer.is_ready for peer in self._called))
            launch = launch_of(spec, call, 0, self.scratch)
            yield lambda function: self._run(call, launch, stop, function)
        except Interrupted:
            raise  # a node is lost, or the platform stops the other nodes, too
        except BaseException as error:  # the user's code may raise anything
            self._finish()
            settled = self._settle(call, error, must_stop, on_stuck)
            if settled is error:
                raise
            raise settled from None
        finally:
            self._finish()

    def end(self) -> None:
        """Let the other nodes end, because the job has ended."""
        with self._changed:
            self._has_ended = True
            peers = list(self._peers.values())
        for peer in peers:
            with contextlib.suppress(ChannelClosedError):
                peer.channel.send(End())

    def close(self) -> None:
        """Close all connections: nodes that have not ended yet exit as interrupted."""
        with self._changed:
            self._has_ended = True
            peers = dict(self._peers)
        if self._listener is not None:
            self._listener.close()
        for peer in peers.values():
            peer.channel.close()
        for process in self._processes:
            if process.index not in peers:
                process.kill()  # it has not connected yet
        end_nodes(self._processes)

    def _run(
        self, call: NodeCall, launch: Launch, stop: MainThreadStop, function: Callable[[], Any]
    ) -> Any:
        def timed() -> Any:
            try:
                return function()
            except BaseException:
                self._raised_at = time.time()
                raise

        with stop.armed():
            value = launch.on_main(
                timed, lambda: self._send(Go(number=call.number)), lambda: self._stop_others(call)
            )
        self._finish()
        self._wait(lambda: all(peer.outcome is not None for peer in self._called))
        return value

    def _new_call(self, spec: StepSpec, attempt: Attempt) -> NodeCall:
        reads = set(spec.arguments.assets)
        job = attempt.spec
        own = reads.union(*(job.gathered[asset].items for asset in reads & job.gathered.keys()))
        nodes = [
            (self.address, this_machines_gpus()),
            *((peer.channel.remote_address, peer.gpus) for peer in self._called),
        ]
        return NodeCall(
            number=self._call,
            spec=job.model_copy(update={"steps": (spec,)}),
            assets={asset: ref for asset, ref in attempt.assets.items() if asset in own},
            skipped={asset: why for asset, why in attempt.skipped.items() if asset in own},
            dropped={asset: why for asset, why in attempt.dropped.items() if asset in own},
            members=tuple(
                Member(address=address, slots=max(1, gpus if spec.has_gpus else 0))
                for address, gpus in nodes
            ),
            port=free_port(self.address),
        )

    def _begin(self, spec: StepSpec, on_stuck: Callable[[BaseException], None]) -> MainThreadStop:
        stop = MainThreadStop()
        with self._changed:
            self._call += 1
            self._called = [self._peers[index] for index in range(1, spec.nodes)]
            for peer in self._called:
                peer.is_ready, peer.outcome = False, None
            self._stop, self._on_stuck, self._raised_at = stop, on_stuck, None
        return stop

    def _wait_for_all(self) -> None:
        """Wait until all nodes have connected.

        Raises:
            NodeLost: One has not connected in time, or has disappeared since.
            NodeFailure: One could not load the code.
        """
        deadline = clock.monotonic() + self.wait_s
        announced: int | None = None
        while True:
            with self._changed:
                self._check_nodes()
                missing = self.count - 1 - len(self._peers)
                if not missing:
                    return
                if missing != announced:
                    say(f"waiting for {missing} of {self.count} nodes")
                    announced = missing
                self._changed.wait(_POLL_S)
            for process in self._processes:
                if process.index not in self._peers and (code := process.exit_code()) is not None:
                    raise NodeLost(f"node {process.index} ended with exit code {code}")
            if clock.monotonic() >= deadline:
                raise NodeLost(
                    f"{missing} of {self.count} nodes did not appear within {self.wait_s:g} s"
                )

    def _wait(self, is_reached: Callable[[], bool]) -> None:
        """Wait in the main thread for what the other nodes report.

        Raises:
            NodeLost: One has disappeared.
            NodeFailure: The function has failed on one.
        """
        with self._changed:
            while True:
                self._check_call()
                if is_reached():
                    return
                self._changed.wait(_POLL_S)

    def _check_nodes(self) -> None:
        if self._lost is not None:
            raise NodeLost(self._lost)
        if self._failed is not None:
            raise _failure_of(self._failed)

    def _check_call(self) -> None:
        self._check_nodes()
        failed = [p.outcome for p in self._called if p.outcome and p.outcome.failure]
        if failed:
            raise _failure_of(min(failed, key=lambda outcome: outcome.at))

    def _settle(
        self,
        call: NodeCall,
        error: BaseException,
        must_stop: bool,
        on_stuck: Callable[[BaseException], None],
    ) -> BaseException:
        """Stop the other nodes. Return what has failed the call: the earliest failure of any node.

        A function often fails because that of another node has ended, and with it a connection.
        """
        own = self._raised_at or time.time()
        failed_at = error.at if isinstance(error, NodeFailure) else own
        if self._lost is not None:
            return NodeLost(self._lost)
        self._stop_others(call, self.grace_s + _ANSWER_S if must_stop else _SETTLE_S)
        with self._changed:
            if self._lost is not None:
                return NodeLost(self._lost)
            outcomes = [peer.outcome for peer in self._called]
        failures = [each for each in (*outcomes, self._failed) if each and each.failure]
        first = min(failures, key=lambda outcome: outcome.at, default=None)
        if first is not None and first.at < failed_at:
            error = _failure_of(first)
        if must_stop and any(each is None or each.state == "stuck" for each in outcomes):
            say("a node can't be stopped: the step is not called again")
            on_stuck(error)
        return error

    def _stop_others(self, call: NodeCall, wait_s: float = _ANSWER_S) -> None:
        """Stop the function on the other nodes, and wait until they have, or one is gone."""
        self._send(Stop(number=call.number))
        deadline = time.monotonic() + wait_s
        with self._changed:
            while self._lost is None and self._failed is None and time.monotonic() < deadline:
                if all(peer.outcome is not None for peer in self._called):
                    return
                self._changed.wait(_POLL_S)

    def _send(self, message: NodeCall | Go | Stop) -> None:
        for peer in self._called:
            try:
                peer.channel.send(message)
            except ChannelClosedError as error:
                self._lose(peer.index, str(error))

    def _accept(self, listener: socket.socket, key: bytes) -> None:
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                return  # closed
            # In threads of their own: whatever else connects may never answer.
            threading.Thread(target=self._serve, args=(connected, key), daemon=True).start()

    def _serve(self, connected: socket.socket, key: bytes) -> None:
        try:
            channel = accept(connected, key)
        except (ChannelClosedError, OSError):
            return  # not a node of this attempt
        try:
            hello = channel.receive()
        except (ChannelClosedError, FlowymlError) as error:
            say(f"a node could not join: {error}")
            channel.close()
            return
        with self._changed:
            is_expected = isinstance(hello, Hello) and 0 < hello.node < self.count
            if not isinstance(hello, Hello) or not is_expected or hello.node in self._peers:
                say(f"a second or unknown node was refused: {hello!r}")
                channel.close()
                return
            peer = self._peers[hello.node] = _Peer(hello.node, channel, hello.gpus)
            self._changed.notify_all()
        try:
            while True:
                self._take(peer, channel.receive())
        except (ChannelClosedError, FlowymlError) as error:
            self._lose(hello.node, str(error))
            channel.close()

    def _take(self, peer: _Peer, message: Message) -> None:
        with self._changed:
            if isinstance(message, Ready) and message.number == self._call:
                peer.is_ready = True
            elif isinstance(message, Outcome) and message.number in (0, self._call):
                if message.number == 0:
                    self._failed = message
                else:
                    peer.outcome = message
                if message.failure is not None:
                    self._interrupt(_failure_of(message))
            self._changed.notify_all()

    def _lose(self, index: int, reason: str) -> None:
        with self._changed:
            if self._has_ended or self._lost is not None or self._failed is not None:
                return
            self._lost = f"node {index} is gone: {reason}"
            self._changed.notify_all()
            self._interrupt(NodeLost(self._lost))

    def _interrupt(self, error: NodeFailure | NodeLost) -> None:
        """Stop the main node's function; end the process if it continues."""
        if self._stop is None:
            return
        self._stop.stop(error)
        if self._timer is None:
            self._timer = threading.Timer(clock.real_s(self.grace_s), self._end_process, [error])
            self._timer.daemon = True
            self._timer.start()

    def _finish(self) -> None:
        """Interrupt the main thread no more: its function has ended."""
        with self._changed:
            self._stop = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _end_process(self, error: NodeFailure | NodeLost) -> None:
        if isinstance(error, NodeFailure):
            self._on_stuck(error)
        say(f"{error}: the job ends without a result, and can run again")
        self.attempt.log.close()
        self.attempt.progress.close()
        os._exit(NODE_LOST)


def _failure_of(outcome: Outcome) -> NodeFailure:
    assert outcome.failure is not None
    return NodeFailure(outcome.failure, outcome.at)


def free_port(address: str) -> int:
    """Return a port of an address that no program uses."""
    with socket.create_server((address, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
