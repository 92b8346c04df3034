"""The main node, with other nodes that are threads of the test."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.failures import NodeFailure
from flowyml_aws.runtime.interruption import NodeLost
from flowyml_aws.runtime.nodes.channel import Channel, ChannelClosedError, connect
from flowyml_aws.runtime.nodes.main_node import MainNode
from flowyml_aws.runtime.nodes.meeting import MeetingPlace, join, read_place
from flowyml_aws.runtime.nodes.messages import (
    End,
    Go,
    Hello,
    Message,
    NodeCall,
    Outcome,
    Ready,
    Stop,
)
from flowyml_aws.runtime.result import StepFailure
from tests.runtime.nodes.calls import job_spec

pytestmark = pytest.mark.contract

FOREVER_S = 60.0
FAILURE = StepFailure(kind="ValueError", message="node 1: no luck", traceback="On node 1:\n…")
MAIN_FAILED = RuntimeError("connection reset")


Act = Callable[[Channel, NodeCall], None]


class Others:
    """A main node in a folder, and what the other nodes do."""

    def __init__(self, folder: Path, count: int = 2, **options: Any) -> None:
        self.store = DirectoryArtifactStore(folder / "store")
        self.attempt = Attempt.begin(job_spec(self.store.uri), self.store, 1)
        options = {"wait_s": 10.0, "grace_s": 10.0, **options}
        self.main = MainNode(self.attempt, count, "127.0.0.1", folder / "nodes", **options)
        self.main.open()
        self.received: list[Message] = []
        self.stuck: list[BaseException] = []

    @property
    def place(self) -> MeetingPlace:
        place = read_place(self.store, RunLayout("run-1"), "train", 1)
        assert place is not None
        return place

    def connect(self, node: int = 1) -> Channel:
        channel = connect("127.0.0.1", self.place.port, bytes.fromhex(self.place.key))
        channel.send(Hello(node=node, gpus=0))
        return channel

    def join(self, *acts: Act, node: int = 1) -> None:
        """Join as a node that acts on `Go`: for each call once, then as in the last one."""
        channel = self.connect(node)
        threading.Thread(target=self._follow, args=(channel, list(acts)), daemon=True).start()

    def _follow(self, channel: Channel, acts: list[Act]) -> None:
        call: NodeCall | None = None
        act: Act = wait
        with suppress(ChannelClosedError):
            while True:
                message = channel.receive()
                self.received.append(message)
                if isinstance(message, NodeCall):
                    call = message
                    channel.send(Ready(number=call.number))
                if isinstance(message, Go) and call is not None:
                    act = acts.pop(0) if len(acts) > 1 else acts[0]
                    act(channel, call)
                if isinstance(message, Stop) and act is wait:
                    answer(channel, message.number, "stopped")
        channel.close()

    def call(self, function: Callable[[], Any], must_stop: bool = False) -> Any:
        (spec,) = self.attempt.spec.steps
        with self.main.calling(spec, self.attempt, must_stop, self.stuck.append) as run:
            return run(function)


def answer(channel: Channel, number: int, state: str, **more: Any) -> None:
    outcome = {"number": number, "state": state, "at": time.time(), **more}
    channel.send(Outcome.model_validate(outcome))


def succeed(channel: Channel, call: NodeCall) -> None:
    answer(channel, call.number, "returned")


def fail(channel: Channel, call: NodeCall) -> None:
    answer(channel, call.number, "failed", failure=FAILURE)


def disappear(channel: Channel, call: NodeCall) -> None:
    channel.close()


def wait(channel: Channel, call: NodeCall) -> None:
    pass


def raise_error() -> None:
    raise MAIN_FAILED


@pytest.fixture
def others(tmp_path: Path) -> Iterator[Others]:
    others = Others(tmp_path)
    yield others
    others.main.close()


def test_the_value_of_the_main_node_is_returned_once_the_others_have_succeeded(
    others: Others,
) -> None:
    others.join(succeed)
    assert others.call(lambda: 42) == 42
    assert [message.kind for message in others.received] == ["call", "go"]


def test_a_failure_of_another_node_stops_the_function_of_the_main_node(others: Others) -> None:
    others.join(fail)
    with pytest.raises(NodeFailure) as raised:
        others.call(lambda: time.sleep(FOREVER_S))
    assert raised.value.failure == FAILURE


def test_a_function_that_swallows_the_stop_has_failed_all_the_same(others: Others) -> None:
    def swallow() -> None:
        with suppress(BaseException):
            time.sleep(FOREVER_S)

    others.join(fail)
    with pytest.raises(NodeFailure):
        others.call(swallow)


def test_a_lost_node_stops_the_function_and_is_no_failure_of_the_step(others: Others) -> None:
    others.join(disappear)
    with pytest.raises(NodeLost, match="node 1 is gone"):
        others.call(lambda: time.sleep(FOREVER_S))


def test_an_exception_that_a_lost_node_has_caused_does_not_fail_the_step(others: Others) -> None:
    lost = threading.Event()

    def leave(channel: Channel, call: NodeCall) -> None:
        channel.close()
        lost.set()

    def read_from_node() -> None:
        lost.wait()
        raise MAIN_FAILED

    others.join(leave)
    with pytest.raises(NodeLost):
        others.call(read_from_node)


def test_the_earliest_failure_of_several_nodes_counts(others: Others) -> None:
    def fail_first(channel: Channel, call: NodeCall) -> None:
        answer(channel, call.number, "failed", failure=FAILURE, at=time.time() - 1)

    others.join(fail_first)
    with pytest.raises(NodeFailure):
        others.call(raise_error)


def test_the_main_nodes_own_failure_counts_if_it_has_caused_the_others(others: Others) -> None:
    def fail_after_the_main_node(channel: Channel, call: NodeCall) -> None:
        assert isinstance(channel.receive(), Stop)
        fail(channel, call)

    others.join(fail_after_the_main_node)
    with pytest.raises(RuntimeError, match="connection reset"):
        others.call(raise_error)


def test_nodes_are_stopped_before_the_function_is_called_again_at_another_port(
    others: Others,
) -> None:
    others.join(wait, succeed)
    with pytest.raises(RuntimeError):
        others.call(raise_error, must_stop=True)
    assert others.call(lambda: "again") == "again"
    assert [m.kind for m in others.received] == ["call", "go", "stop", "call", "go"]
    first, second = (m for m in others.received if isinstance(m, NodeCall))
    assert (first.number, second.number) == (1, 2)
    assert first.port != second.port


def test_a_node_that_cannot_be_stopped_ends_the_job_with_the_failure(others: Others) -> None:
    def ignore_stops(channel: Channel, call: NodeCall) -> None:
        channel.receive()
        answer(channel, call.number, "stuck")

    others.join(ignore_stops)
    with pytest.raises(RuntimeError):
        others.call(raise_error, must_stop=True)
    assert others.stuck == [MAIN_FAILED]


def test_a_node_that_cannot_load_the_code_fails_the_next_call(others: Others) -> None:
    channel = others.connect()
    answer(channel, 0, "failed", failure=FAILURE)
    channel.close()
    with pytest.raises(NodeFailure):
        others.call(raise_error)


def test_nodes_that_do_not_appear_in_time_are_lost(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    others = Others(tmp_path, count=4, wait_s=0.0)
    with pytest.raises(NodeLost, match="3 of 4 nodes did not appear within 0 s"):
        others.call(raise_error)
    assert "waiting for 3 of 4 nodes" in capfd.readouterr().err


def test_a_step_with_fewer_nodes_than_its_job_is_called_on_the_first_ones(tmp_path: Path) -> None:
    others = Others(tmp_path, count=3)
    others.join(succeed, node=1)
    others.join(fail, node=2)
    assert others.call(lambda: 1) == 1
    (call,) = (m for m in others.received if isinstance(m, NodeCall))
    assert len(call.members) == 2
    others.main.close()


def test_a_single_node_calls_the_function_without_waiting_for_another(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    attempt = Attempt.begin(job_spec(store.uri, nodes=1), store, 1)
    alone = MainNode(attempt, 1, "127.0.0.1", tmp_path / "nodes")
    (spec,) = attempt.spec.steps
    with alone.calling(spec, attempt, must_stop=True, on_stuck=lambda _: None) as run:
        assert run(lambda: 42) == 42
    with (
        pytest.raises(RuntimeError, match="connection reset"),
        alone.calling(spec, attempt, must_stop=True, on_stuck=lambda _: None) as run,
    ):
        run(raise_error)


def test_only_nodes_that_know_the_key_are_accepted(others: Others) -> None:
    with pytest.raises(ChannelClosedError):
        connect("127.0.0.1", others.place.port, b"another key")
    silent = socket.create_connection(("127.0.0.1", others.place.port))
    others.join(succeed)
    with silent:
        assert others.call(lambda: 1) == 1


def test_a_second_node_with_the_same_index_is_refused(others: Others) -> None:
    others.join(succeed)
    others.call(lambda: 1)
    second = others.connect()
    with pytest.raises(ChannelClosedError):
        second.receive()
    second.close()
    assert others.call(lambda: 2) == 2


def test_the_end_of_the_job_ends_the_other_nodes(others: Others) -> None:
    ended = threading.Event()

    def follow() -> None:
        channel = others.connect()
        while not isinstance(channel.receive(), End):
            channel.send(Ready(number=1))
            answer(channel, 1, "returned")
        channel.close()
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    others.call(lambda: 1)
    others.main.end()
    assert ended.wait(FOREVER_S)


def test_a_node_finds_a_main_node_that_has_started_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    earlier = MeetingPlace(address="127.0.0.1", port=port, key="00")
    others = Others(tmp_path)
    places = iter([None, earlier, earlier, others.place])
    channel = join(lambda: next(places), lambda: False, sleep=lambda _: None)
    assert channel is not None
    channel.close()
    others.main.close()


def test_a_node_without_a_main_node_gives_up() -> None:
    times = iter([0.0, 5.0, 11.0])
    assert (
        join(
            lambda: None,
            lambda: False,
            wait_s=10.0,
            sleep=lambda _: None,
            now=lambda: next(times),
        )
        is None
    )


def test_a_node_that_starts_after_the_end_of_the_job_does_not_wait() -> None:
    assert join(lambda: None, lambda: True) is None
