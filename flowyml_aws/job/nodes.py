"""The nodes of this job: the part of this process, as the main node or another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.job.store import open_prefixes, resolve_secret
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.nodes.identity import (
    NodeIdentity,
    identity_of,
    own_address,
    read_resource_config,
    too_few_nodes_error,
)
from flowyml_aws.runtime.nodes.main_node import MainNode
from flowyml_aws.runtime.nodes.on_this_machine import loopback_address, start_node
from flowyml_aws.runtime.nodes.other_node import follow
from flowyml_aws.runtime.platform import Platform
from flowyml_aws.runtime.spec import JobSpec

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["JobNodes"]


@dataclass(frozen=True, slots=True)
class JobNodes:
    """The nodes of a job.

    Attributes:
        spec: Spec of the job.
        identity: Node of this process.
        starts_others: Whether the main node starts the others, as processes of its machine.
    """

    spec: JobSpec
    identity: NodeIdentity
    starts_others: bool

    @classmethod
    def of(cls, spec: JobSpec, environment: Mapping[str, str], is_local: bool) -> Self:
        """Return the nodes of a job, which may have only one, for torchrun.

        Args:
            spec: Spec of the job.
            environment: Environment variables of this process.
            is_local: Whether the job runs on the machine of its client.

        Raises:
            DamagedArtifactError: The platform has started fewer nodes than the steps need.
        """
        identity = identity_of(environment, read_resource_config(environment))
        count = max(step.nodes for step in spec.steps)
        if identity is None and (is_local or count == 1):
            return cls(spec, NodeIdentity(0, count), is_local)
        if identity is None or identity.count < count:
            raise too_few_nodes_error(spec.job, count, 1 if identity is None else identity.count)
        return cls(spec, identity, False)

    def follow(self, store: ArtifactStore, platform: Platform, folder: Path, grace_s: float) -> int:
        """Call functions for the main node until the job ends, and return the exit code."""
        return follow(
            self.spec,
            store,
            platform,
            self.identity,
            folder,
            grace_s,
            resolve_secret,
            open_prefixes,
        )

    def lead(self, attempt: Attempt, folder: Path, argument: str, grace_s: float) -> MainNode:
        """Let the other nodes join, and return them.

        Args:
            attempt: Attempt of the main node.
            folder: Folder for files of calls.
            argument: Argument of the runner.
            grace_s: Seconds that a function has to stop.

        Raises:
            AwsRefusedError: The address can't be written to the store.
        """
        is_here = self.starts_others or self.identity.count == 1
        nodes = MainNode(
            attempt,
            self.identity.count,
            loopback_address(0) if is_here else own_address(self.identity, os.environ),
            folder / "nodes",
            grace_s=grace_s,
        )
        if self.identity.count > 1:
            nodes.open()
        if self.starts_others:
            nodes.start_others(partial(start_node, argument=argument, environment=os.environ))
        return nodes
