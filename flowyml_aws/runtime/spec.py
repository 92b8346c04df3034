"""The job spec: the only contract between the client and the container."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.arguments import Arguments
from flowyml_aws.core.branches import Branch
from flowyml_aws.core.distributed import Launcher
from flowyml_aws.core.maps import FailureRule, declared_name
from flowyml_aws.runtime.program import Program

__all__ = [
    "STORE_WAIT_S",
    "AssetSource",
    "CodeSource",
    "Expanding",
    "GatheredAsset",
    "JobSpec",
    "PackageLayer",
    "SpecPack",
    "StepCache",
    "StepPart",
    "StepSpec",
    "StoredObject",
]

STORE_WAIT_S = 600.0
"""Seconds for which a job waits for a store that does not answer, unless its spec says otherwise.
"""


class StoredObject(Document):
    """An object in the run's store, or a part of one, with its digest.

    Attributes:
        offset: Start of the part; None if it is the whole object.
    """

    key: str
    sha256: str
    size_bytes: int
    offset: int | None = None


class CodeSource(Document):
    """The user's program, and the files that it is loaded from.

    Attributes:
        bundle: Source bundle.
        in_place: Whether the job runs in the project's own folder, and uses the bundle only as a
            snapshot of its code.
        root: The project's folder on the client.
        program: The program.
    """

    bundle: StoredObject
    in_place: bool
    root: str
    program: Program


class PackageLayer(Document):
    """Packages that a job installs when it starts, or downloads if they are stored already.

    Attributes:
        requirements: Packages with their versions and the hashes of their wheels.
        options: Options for uv that name the package index.
        stored: Packages that were stored when the job was submitted, by digest of the layer. A job
            whose layer is among them uses these packages or installs them again.
    """

    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()
    stored: dict[str, ArtifactRef] = Field(default_factory=dict)


class StepCache(Document):
    """Parts of a step's cache key, and whether to look it up.

    Attributes:
        identity: Digest of everything that the outputs depend on, except assets.
        assets: Identity of each asset that the step reads; None means its content's digest.
        machine: Kind of machine that the job is planned for.
        labels: Name that an asset has in the key, if it is the asset of an item.
        ask: Whether the runner looks for a cache entry. False if the client knew every identity
            and has already looked.
    """

    identity: str
    assets: dict[str, str | None]
    machine: str
    ask: bool
    labels: dict[str, str] = Field(default_factory=dict)


class StepPart(Document):
    """The part of a map over lists whose length is unknown until the job starts.

    The job runs the items of the part as steps of their own, and then the part, which stores the
    lists of their outputs.

    Attributes:
        number: Number of the part, from 0.
        count: Number of parts.
        lists: Asset that the part reads → name of the list. They are equal if the part takes its
            slice of the asset; otherwise the asset is the same part of another mapped step.
        length: Number of items of the whole list, once it is known.
        positions: Positions of the items of the part, once they are known.
    """

    number: int
    count: int
    lists: dict[str, str]
    length: int = 0
    positions: tuple[int, ...] | None = None


class StepSpec(Document):
    """One step of the job; the payload contains its function under the same name.

    Attributes:
        reads: Assets that the function or the condition takes, and its decision.
        arguments: Arguments of the function.
        condition: Arguments of the condition, or None without one.
        stored: Outputs whose values are stored.
        timeout_s: Timeout of an attempt in seconds, or None.
        stop_idle_gpu_s: Seconds without use of the job's GPUs after which the step is stopped, or
            None for never.
        has_gpus: Whether its job has GPUs.
        cache: Parts of the cache key, or None if the step is never cached.
        declared: Name of its function in the payload, if the step is an item of a mapped step.
        own_names: Names of its outputs, and of the lists that it maps over, in the sub-pipeline
            that declares it, if they differ: cache keys and entries have them.
        on_failure: Rule for a failure of the item; None if the step is not an item.
        part: Part of a map over a list that the run produces; None for any other step.
        lists: Outputs that are stored item by item, because another step maps over them.
        nodes: Number of nodes that the step runs on; 1 if it runs on the main node only.
        distributed: Program that starts the function on its nodes, or cluster that runs on them.
        branch: Case of a decision in which the step runs; None if it does not depend on one.
        cases: Cases of a decision; its function returns one of them. Empty for any other step.
        max_depth: Maximum number of pipelines inside one another that a dynamic step may lead to;
            None for any other step.
    """

    name: str
    reads: tuple[str, ...]
    arguments: Arguments
    condition: Arguments | None = None
    outputs: tuple[str, ...]
    stored: tuple[str, ...]
    retry: int
    retry_delay_s: float
    timeout_s: float | None
    stop_idle_gpu_s: float | None = None
    has_gpus: bool = False
    cache: StepCache | None = None
    declared: str | None = None
    own_names: dict[str, str] = Field(default_factory=dict)
    on_failure: FailureRule | None = None
    part: StepPart | None = None
    lists: tuple[str, ...] = ()
    nodes: int = 1
    distributed: Launcher | None = None
    branch: Branch | None = None
    cases: tuple[str, ...] = ()
    max_depth: int | None = None

    @property
    def function(self) -> str:
        """Name of the step in the payload."""
        return self.declared or self.name

    @property
    def taken(self) -> tuple[str, ...]:
        """Assets that the function or the condition takes as arguments."""
        condition = () if self.condition is None else self.condition.assets
        return (*self.arguments.assets, *condition)

    @property
    def has_other_processes(self) -> bool:
        """True if processes of other nodes or of torchrun call the function, too."""
        return self.nodes > 1 or self.distributed is not None

    @property
    def outputs_by_own_name(self) -> dict[str, str]:
        """Outputs by the names that the declaration of the step has for them."""
        names = {asset: declared_name(asset) if self.is_item else asset for asset in self.outputs}
        return {self.own_names.get(name, name): asset for asset, name in names.items()}

    @property
    def is_item(self) -> bool:
        """True if the step is an item of a mapped step."""
        return self.on_failure is not None


class GatheredAsset(Document):
    """An asset of a mapped step that a job reads as a list.

    Attributes:
        items: Assets of the items, in order.
        required: Number of items that must not be dropped; 0 if a failed item fails the run.
        in_parts: Whether each asset is the list of a part instead of an item.
        min_success: Share of the items of all parts that must not be dropped; None if a failed
            item fails the run, or without parts.
    """

    items: tuple[str, ...]
    required: int = 0
    in_parts: bool = False
    min_success: float | None = None


class FolderInPlace(Document):
    """A folder that a job on the machine of its client reads itself, without a copy.

    Attributes:
        path: Absolute path.
        state: `ScannedFolder.state` when the run was planned.
    """

    path: str
    state: str


class AssetSource(Document):
    """Source of an asset from outside the job: another job's result, or a known ref.

    Attributes:
        absent: Reason why the asset does not exist, if a step of an earlier run was skipped.
        case: Case that the asset names, if it is that of a decision of an earlier run.
        dropped: Reason why the asset does not exist, if an item of an earlier run failed.
        is_partial: Whether it was made in an earlier run from a list without dropped items.
        in_place: Folder that the job reads instead of the files of the ref.
        mount: Name of the folder in which the platform mounts the prefix of S3 that the ref lists;
            None if the job downloads it.
    """

    job: str | None = None
    ref: ArtifactRef | None = None
    absent: str | None = None
    case: str | None = None
    dropped: str | None = None
    is_partial: bool = False
    in_place: FolderInPlace | None = None
    mount: str | None = None


class Expanding(Document):
    """Everything that a job needs to plan the pipeline of a dynamic step.

    Attributes:
        facts: Document with the facts that only the client can look up
            (`planning/expansion_facts.py`).
        chain: Dynamic steps whose pipelines contain the step, the outermost first.
        levels: Number of pipelines inside one another that these steps still allow; None if there
            are none.
    """

    facts: StoredObject
    chain: tuple[str, ...] = ()
    levels: int | None = None


class JobSpec(Document):
    """Everything that the runner needs to run a job.

    Attributes:
        store: URI of the store that holds the run.
        python: Minor version of the Python that pickled the steps, such as `3.12`.
        layer: Packages in addition to those of the image.
        large_values: Pickled large values of the payload, which several jobs may share, in the
            order in which they are loaded.
        steps: Steps in running order.
        assets: Sources of the assets that the steps read from outside the job.
        store_wait_s: Seconds for which the job waits for a store that does not answer.
        first_attempt: Number of the first attempt whose events may contain completed steps: 0 if
            the run resumes an earlier one, whose completed steps are those of attempt 0.
        secrets: References to secrets, by the environment variable that gets the value.
        gathered: Assets of mapped steps that the job reads as lists.
        expanding: Facts to plan the pipeline of its dynamic step; None without one.
    """

    version: Literal[1] = 1
    store: str
    run_id: str
    pipeline: str
    job: str
    python: str
    layer: PackageLayer | None = None
    code: CodeSource
    payload: StoredObject
    large_values: tuple[StoredObject, ...] = ()
    steps: tuple[StepSpec, ...] = Field(min_length=1)
    assets: dict[str, AssetSource]
    store_wait_s: float = STORE_WAIT_S
    first_attempt: Literal[0, 1] = 1
    secrets: dict[str, str] = Field(default_factory=dict)
    gathered: dict[str, GatheredAsset] = Field(default_factory=dict)
    expanding: Expanding | None = None


class SpecPack(Document):
    """Specs of many jobs in one object, one after the other; each job reads its own."""

    version: Literal[1] = 1
    specs: tuple[JobSpec, ...]
