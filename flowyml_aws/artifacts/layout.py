"""Every key of a run. Nothing else makes keys of these.

One writer per object; what must be atomic is written under its final key in one conditional put.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = [
    "CACHE",
    "CONTENTS",
    "HISTORY",
    "LAYERS",
    "RUNS",
    "RunLayout",
    "artifact_key",
    "bundle_key",
    "cache_entry_key",
    "history_key",
    "history_prefix",
    "layer_key",
    "payload_key",
    "probe_key",
]

RUNS = "runs/"
CACHE = "cache/"
HISTORY = "history/"
LAYERS = "layers/"
CONTENTS = ("artifacts/", "payloads/", "code/")
"""Below them lie contents by their digest, which runs and cache entries refer to."""


@dataclass(frozen=True, slots=True)
class RunLayout:
    """Keys of one run; `job` is the name of a job in its plan."""

    run_id: str

    @property
    def prefix(self) -> str:
        return f"{RUNS}{self.run_id}/"

    @property
    def run(self) -> str:
        """The run record, written by the client before anything is submitted."""
        return f"{self.prefix}run.json"

    @property
    def plan(self) -> str:
        return f"{self.prefix}plan.json"

    @property
    def keys(self) -> str:
        """What the outcome of each step depends on, in parts."""
        return f"{self.prefix}keys.json"

    @property
    def submissions(self) -> str:
        """Below it, one document for each client that submitted jobs of the run."""
        return f"{self.prefix}submissions/"

    def submission(self, number: int) -> str:
        """What a client submitted; its creation says that no other one may."""
        return f"{self.submissions}{number}.json"

    @property
    def training(self) -> str:
        """Where the run's training jobs are, noted before the first one is submitted."""
        return f"{self.prefix}training.json"

    @property
    def cancellation(self) -> str:
        """Says that the user cancelled the run."""
        return f"{self.prefix}cancellation.json"

    @property
    def outcome(self) -> str:
        """How the run ended, written once by whoever saw it."""
        return f"{self.prefix}outcome.json"

    def spec(self, job: str) -> str:
        return f"{self.prefix}jobs/{job}/spec.json"

    def result(self, job: str) -> str:
        """The commit of a job: it counts only when this is there."""
        return f"{self.prefix}jobs/{job}/result.json"

    def outputs(self, job: str) -> str:
        """Below it, what SageMaker itself keeps of a training job: what lies in /opt/ml/model."""
        return f"{self.prefix}jobs/{job}/sagemaker"

    def checkpoints(self, job: str) -> str:
        """Below it, what a training job on spot capacity keeps in /opt/ml/checkpoints."""
        return f"{self.prefix}jobs/{job}/checkpoints"

    def attempts(self, job: str) -> str:
        return f"{self.prefix}jobs/{job}/attempts/"

    def attempt(self, job: str, number: int, document: str) -> str:
        """A document of one attempt: `events.json`, `claim.json`, `log.txt`, …."""
        return f"{self.attempts(job)}{number}/{document}"


def bundle_key(sha256: str) -> str:
    """A source bundle."""
    return f"code/{sha256}.tar.zst"


def payload_key(sha256: str) -> str:
    """The pickled steps of a job."""
    return f"payloads/{sha256}"


def artifact_key(sha256: str) -> str:
    """A value, by its content."""
    return f"artifacts/{sha256[:2]}/{sha256}"


def layer_key(sha256: str) -> str:
    """Where packages lie that jobs have installed, by the digest of what they asked for."""
    return f"{LAYERS}{sha256}.json"


def cache_entry_key(key: str) -> str:
    """What a step with this cache key made."""
    return f"{CACHE}{key}.json"


def history_prefix(pipeline: str) -> str:
    """Below it, what earlier runs of a pipeline took."""
    # Any name gives a key of its own, whatever it is made of.
    return f"{HISTORY}{hashlib.sha256(pipeline.encode()).hexdigest()[:16]}/"


def history_key(pipeline: str, run_id: str) -> str:
    """What one run took."""
    return f"{history_prefix(pipeline)}{run_id}.json"


def probe_key(name: str) -> str:
    """What a test of the store writes and removes; where it stays, it is collected as garbage."""
    return f"{RUNS}probe-{name}/probe"
