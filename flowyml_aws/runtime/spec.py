"""One job as a document: the only contract between the client and the container."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.refs import ArtifactRef

__all__ = [
    "AssetSource",
    "CodeSource",
    "JobSpec",
    "PackageLayer",
    "StepCache",
    "StepSpec",
    "StoredObject",
]


class StoredObject(Document):
    """An object of the run's store, by key and digest."""

    key: str
    sha256: str
    size_bytes: int


class CodeSource(Document):
    """Where the user's modules are.

    Attributes:
        bundle: The source bundle, or None where the job runs in the project itself.
        root: The project's folder on the client; in place, the folder the job uses.
        paths: Entries for `sys.path`, relative to the bundle or to `root`, first wins.
        folder: Working directory, likewise relative.
    """

    bundle: StoredObject | None
    root: str
    paths: tuple[str, ...]
    folder: str


class PackageLayer(Document):
    """Packages that a job installs when it starts, or takes from the store where they lie.

    Attributes:
        requirements: Each package with its version and the hashes of its wheels.
        options: Where uv looks for them.
    """

    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()


class StepCache(Document):
    """How what a step makes is found again, in this run and by later ones.

    Attributes:
        identity: Digest of all that the outcome depends on besides assets.
        assets: Identity of each asset that the step reads; None stands for its content's digest.
        ask: Whether an earlier outcome is looked up first. Where every identity was known, the
            client has looked already.
    """

    identity: str
    assets: dict[str, str | None]
    ask: bool


class StepSpec(Document):
    """One step of the job; its function lies in the payload under the same name.

    Attributes:
        reads: Assets that its function or its condition takes.
        stored: Assets it produces whose values are stored.
        timeout_s: Seconds per attempt, or None.
        cache: None if it is never cached.
    """

    name: str
    inputs: tuple[str, ...]
    reads: tuple[str, ...]
    outputs: tuple[str, ...]
    stored: tuple[str, ...]
    retry: int
    retry_delay_s: float
    timeout_s: float | None
    cache: StepCache | None = None


class AssetSource(Document):
    """Where an asset from outside the job comes from: another job's result, or a known ref."""

    job: str | None = None
    ref: ArtifactRef | None = None


class JobSpec(Document):
    """Everything that the runner needs.

    Attributes:
        store: URI of the store that holds the run.
        python: Minor version that pickled the steps, such as `3.12`.
        layer: Packages beyond those of the image.
        steps: In running order.
        assets: What the steps read from outside the job.
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
    steps: tuple[StepSpec, ...] = Field(min_length=1)
    assets: dict[str, AssetSource]
