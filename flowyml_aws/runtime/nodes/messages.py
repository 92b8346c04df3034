"""Messages between the main node and the others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.runtime.result import StepFailure
from flowyml_aws.runtime.spec import JobSpec

__all__ = [
    "End",
    "Go",
    "Hello",
    "Member",
    "Message",
    "NodeCall",
    "Outcome",
    "Ready",
    "Stop",
    "read",
]


class Hello(Document):
    """Introduction of a node, the first message on its connection.

    Attributes:
        node: Index of the node.
        gpus: Number of its GPUs.
    """

    version: Literal[1] = 1
    kind: Literal["hello"] = "hello"
    node: int
    gpus: int


class Member(Document):
    """A node as the others see it.

    Attributes:
        address: Address at which it is reached.
        slots: Number of processes that it can run: its GPUs, or 1 without GPUs.
    """

    address: str
    slots: int


class NodeCall(Document):
    """A call of the function of a step on all nodes.

    Attributes:
        number: Number of the call, from 1.
        spec: Spec of the job with this step only.
        assets: Refs of the inputs that the job itself has stored.
        skipped: Inputs that do not exist because their step was skipped, with the cause.
        dropped: Inputs that do not exist because an item of a map failed, with the cause.
        members: All nodes, in order.
        port: Free port of the main node, at which the processes of the call meet.
    """

    version: Literal[1] = 1
    kind: Literal["call"] = "call"
    number: int
    spec: JobSpec
    assets: dict[str, ArtifactRef]
    skipped: dict[str, str]
    dropped: dict[str, str]
    members: tuple[Member, ...]
    port: int


class Ready(Document):
    """A node has its inputs, and waits for `Go`."""

    kind: Literal["ready"] = "ready"
    number: int


class Go(Document):
    """All nodes are ready: call the function."""

    kind: Literal["go"] = "go"
    number: int


class Stop(Document):
    """Stop the function of a call."""

    kind: Literal["stop"] = "stop"
    number: int


class Outcome(Document):
    """End of a call on a node.

    Attributes:
        number: Number of the call; 0 if the node can't load the code, and ends.
        state: `stuck` if the function can't be stopped.
        at: Time of the end, in seconds since the epoch.
        failure: Failure of a node that has failed.
    """

    kind: Literal["outcome"] = "outcome"
    number: int
    state: Literal["returned", "failed", "stopped", "stuck"]
    at: float
    failure: StepFailure | None = None


class End(Document):
    """The job has ended."""

    kind: Literal["end"] = "end"


Message = Hello | NodeCall | Ready | Go | Stop | Outcome | End
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def read(data: bytes) -> Message:
    """Parse a message.

    Raises:
        DamagedArtifactError: Another version of this package has sent it.
    """
    try:
        return _ADAPTER.validate_json(data, context={})
    except ValidationError as error:
        raise DamagedArtifactError(
            what="A node has sent a message that this version of flowyml-aws does not know",
            why=str(error.errors()[0]["msg"]),
            fix="use the same image for all nodes",
        ) from error
