"""Index of this node, and the number of nodes of its job.

Sources: the user guide of AWS Batch, "Multi-node parallel jobs", and the developer guide of
SageMaker, "How Amazon SageMaker AI provides training information" (`resourceconfig.json`).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.core.emulated import NODE_ADDRESS_VARIABLE
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.runtime.platform import SAGEMAKER_FOLDER

__all__ = [
    "NODE_VARIABLE",
    "NodeIdentity",
    "identity_of",
    "own_address",
    "read_resource_config",
    "too_few_nodes_error",
]

NODE_VARIABLE = "FLOWYML_NODE"
"""Variable with the index of a node and the number of nodes, such as `1/4`, on this machine."""

_INDEX, _COUNT = "AWS_BATCH_JOB_NODE_INDEX", "AWS_BATCH_JOB_NUM_NODES"
_RESOURCE_CONFIG = "input/config/resourceconfig.json"
# Never sent to: a UDP socket that is connected has the address of the interface to the network.
_ANYWHERE = ("192.0.2.1", 9)  # RFC 5737


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A node of a job.

    Attributes:
        index: Index from 0, which is the main node.
        count: Number of nodes.
        host: Name of its host, which the others resolve; None if it has none.
    """

    index: int
    count: int
    host: str | None = None

    @property
    def is_main(self) -> bool:
        """True for the node that runs the job."""
        return self.index == 0


def identity_of(environment: Mapping[str, str], resource_config: str | None) -> NodeIdentity | None:
    """Return the identity of this node; None if the platform has started a single one.

    Args:
        environment: Environment variables of the process.
        resource_config: Content of SageMaker's `resourceconfig.json`, or None.

    Raises:
        DamagedArtifactError: The platform's description of the node can't be understood.
    """
    if pair := environment.get(NODE_VARIABLE):
        index, _, count = pair.partition("/")
        return _checked(index, count, f"{NODE_VARIABLE}={pair}")
    if _COUNT in environment:
        index, count = environment.get(_INDEX, ""), environment[_COUNT]
        return _checked(index, count, f"{_INDEX}={index} and {_COUNT}={count}")
    if resource_config is None:
        return None
    try:
        facts = json.loads(resource_config)
        hosts, host = list(facts["hosts"]), facts["current_host"]
        identity = NodeIdentity(hosts.index(host), len(hosts), host)
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(_RESOURCE_CONFIG, repr(error)) from error
    return identity if identity.count > 1 else None


def read_resource_config(environment: Mapping[str, str]) -> str | None:
    """Return the content of SageMaker's `resourceconfig.json`, or None outside of SageMaker."""
    if "TRAINING_JOB_NAME" not in environment:
        return None
    folder = Path(environment.get("SAGEMAKER_BASE_DIR") or SAGEMAKER_FOLDER)
    try:
        return (folder / _RESOURCE_CONFIG).read_text("utf-8")
    except FileNotFoundError:
        return None


def own_address(identity: NodeIdentity, environment: Mapping[str, str]) -> str:
    """Return the address at which the other nodes reach this one."""
    if address := environment.get(NODE_ADDRESS_VARIABLE):
        return address
    if identity.host is not None:
        try:
            return socket.gethostbyname(identity.host)
        except OSError:
            pass  # its network does not know the name
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_ANYWHERE)
        address = probe.getsockname()[0]
    return str(address)


def too_few_nodes_error(job: str, count: int, started: int) -> DamagedArtifactError:
    """Return the error of a job that a service has started on fewer nodes than it needs.

    Args:
        job: Name of the job.
        count: Number of nodes that it needs.
        started: Number of nodes that the variables and files of the service name.
    """
    return DamagedArtifactError(
        what=f"Job {job!r} needs {count} nodes, but was started on {started}",
        why="its service was asked for another number of nodes",
        fix="use the same version of flowyml-aws in the client and in the image, "
        "and run the pipeline again",
    )


def _checked(index: str, count: str, source: str) -> NodeIdentity:
    if index.isdecimal() and count.isdecimal() and int(index) < int(count):
        return NodeIdentity(int(index), int(count))
    raise _unreadable(source, "it must have an index that is less than the number of nodes")


def _unreadable(source: str, why: str) -> DamagedArtifactError:
    return DamagedArtifactError(
        what=f"{source} does not say which node of the job this is",
        why=why,
        fix="remove the variables or files of the service from the image and from `env`",
    )
