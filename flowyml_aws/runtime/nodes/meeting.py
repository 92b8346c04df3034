"""The document with which the nodes of an attempt find their main node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import NODES, RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core import clock
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.runtime.nodes.channel import Channel, ChannelClosedError, connect

__all__ = ["NODE_WAIT_S", "MeetingPlace", "join", "read_place", "write_place"]

NODE_WAIT_S = 900.0
"""Seconds for which nodes wait for each other.

The services start the nodes of a job once they have the machines of all of them. What differs is
the pull of the image: up to minutes for 10 GB on a machine that has never run it.
"""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


class MeetingPlace(Document):
    """Address of the main node of an attempt.

    Attributes:
        key: Random key in hex, which both ends of a connection must know.
    """

    version: Literal[1] = 1
    address: str
    port: int
    key: str


def write_place(
    store: ArtifactStore, layout: RunLayout, job: str, attempt: int, place: MeetingPlace
) -> None:
    """Write the document, replacing that of an earlier start of the same attempt."""
    store.put(layout.attempt(job, attempt, NODES), place.to_json())


def read_place(
    store: ArtifactStore, layout: RunLayout, job: str, attempt: int
) -> MeetingPlace | None:
    """Return the document, or None if the main node has not written it yet."""
    key = layout.attempt(job, attempt, NODES)
    try:
        return read_document(MeetingPlace, store.get(key), f"{store.uri}/{key}")
    except ArtifactNotFoundError:
        return None


def join(
    read: Callable[[], MeetingPlace | None],
    is_over: Callable[[], bool],
    own_address: str | None = None,
    wait_s: float = NODE_WAIT_S,
    sleep: Callable[[float], None] = clock.sleep,
    now: Callable[[], float] = clock.monotonic,
) -> Channel | None:
    """Connect to the main node. Return None if the job is over, or no main node appears in time.

    The document is read again before each try. It may be that of an earlier start of the attempt,
    until the main node has replaced it.

    Args:
        read: Returns the document.
        is_over: Returns whether the job has a result.
        own_address: Address of this end; None for that of the interface to the main node.
        wait_s: Seconds to wait.
        sleep: Sleep function.
        now: Seconds since any start.
    """
    deadline, pause_s = now() + wait_s, _FIRST_PAUSE_S
    while True:
        if (place := read()) is not None:
            try:
                return connect(place.address, place.port, bytes.fromhex(place.key), own_address)
            except ChannelClosedError:
                pass  # of an earlier start, or not listening yet
        if is_over() or now() >= deadline:
            return None
        sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
