"""Keys of all objects in a store. No other module builds them.

Each object has one writer. An object that must be atomic is written under its final key in one
conditional put.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = [
    "ARTIFACTS",
    "CACHE",
    "CONTENTS",
    "COPIES",
    "EVENTS",
    "EXPANSION",
    "HISTORY",
    "LAYERS",
    "LOGGED",
    "NODES",
    "OUTPUTS",
    "RESULT",
    "REWRITTEN",
    "RUNS",
    "SUMMARY",
    "USAGE",
    "USES",
    "RunLayout",
    "artifact_key",
    "artifact_pack_key",
    "build_context_key",
    "bundle_key",
    "cache_entry_key",
    "history_key",
    "history_prefix",
    "is_write_once",
    "layer_key",
    "payload_key",
    "payload_pack_key",
    "probe_key",
    "repetition_prefix",
    "use_key",
    "used_key",
]

RUNS = "runs/"
CACHE = "cache/"
HISTORY = "history/"
LAYERS = "layers/"
USES = "uses/"
"""Prefix of markers: the date of a marker is the last use of an object that is written once."""
RESULT = "result.json"
SUMMARY = "ended/"
EVENTS = "events.json"
EXPANSION = "expansion.json"
USAGE = "usage.json"
LOGGED = "logged.json"
NODES = "nodes.json"
OUTPUTS = "outputs.json"
ARTIFACTS = "artifacts/"
CONTENTS = (ARTIFACTS, "payloads/", "code/")
"""Prefixes of objects that are named by their digest; runs and cache entries refer to them."""
COPIES = 8
"""Number of keys for the same artifact or layer. Jobs use the next one if an object is damaged,
because they can neither delete nor replace it."""
REWRITTEN = (
    "cache/*",
    "history/*",
    "runs/*/jobs/*/attempts/*",
    "runs/*/jobs/*/checkpoints/*",
    "runs/*/jobs/*/sagemaker/*",
    "runs/*/submissions/*",
    "uses/*",
)
"""Patterns of the keys whose objects may be replaced, as in the policies of `infra/`. All other
objects are written once."""
_WRITTEN_ONCE = (RUNS, LAYERS, *CONTENTS)


@dataclass(frozen=True, slots=True)
class RunLayout:
    """Keys of one run. `job` is the name of a job in its plan."""

    run_id: str

    @property
    def prefix(self) -> str:
        return f"{RUNS}{self.run_id}/"

    @property
    def run(self) -> str:
        """Run record, written by the client before it submits any job."""
        return f"{self.prefix}run.json"

    @property
    def plan(self) -> str:
        return f"{self.prefix}plan.json"

    @property
    def keys(self) -> str:
        """Components of the cache key of each step."""
        return f"{self.prefix}keys.json"

    @property
    def origin(self) -> str:
        """Person, machine, code, packages and parameters of the run, for reports."""
        return f"{self.prefix}origin.json"

    @property
    def submissions(self) -> str:
        """Prefix of the documents of the clients that submitted jobs of the run."""
        return f"{self.prefix}submissions/"

    def submission(self, number: int) -> str:
        """Jobs that one client submitted. Creating the document locks out other clients."""
        return f"{self.submissions}{number}.json"

    @property
    def driver(self) -> str:
        """Queue of the Batch job that drives the run, written before the job is submitted."""
        return f"{self.prefix}driver.json"

    @property
    def training(self) -> str:
        """Region and account of the run's training jobs, written before their submission."""
        return f"{self.prefix}training.json"

    @property
    def moves(self) -> str:
        """Prefix of the moves of jobs to other machines."""
        return f"{self.prefix}moves/"

    def move(self, job: str, number: int) -> str:
        """Move of a job, from 1. Creating the document decides where the job continues."""
        return f"{self.moves}{job}.{number}.json"

    def withdrawal(self, job: str, number: int) -> str:
        """Marker that a job is being ended at its service for the move of this number."""
        return f"{self.prefix}withdrawals/{job}.{number}.json"

    def approval(self, name: str) -> str:
        """Answer to an approval. Creating the document decides it."""
        # Hashed, because the name may contain characters that a key must not.
        return f"{self.prefix}approvals/{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"

    def expansion(self, step: str, repetition: int = 0) -> str:
        """Decision on the pipeline of a dynamic step. Creating the document decides it."""
        return f"{self._expansion(step, repetition)}.json"

    def expanded(self, step: str, repetition: int = 0) -> str:
        """Outputs of a dynamic step, written once its pipeline has succeeded."""
        return f"{self._expansion(step, repetition)}/{OUTPUTS}"

    def _expansion(self, step: str, repetition: int) -> str:
        name = hashlib.sha256(step.encode()).hexdigest()[:16]  # see `approval`
        return f"{self.prefix}expansions/{name}.{repetition}"

    @property
    def cancellation(self) -> str:
        """Marker that the run is ended: by its user, or because it has reached its cost limit."""
        return f"{self.prefix}cancellation.json"

    @property
    def outcome(self) -> str:
        """Final state of the run, written once by the first client that sees it."""
        return f"{self.prefix}outcome.json"

    @property
    def schedule(self) -> str:
        """Schedule whose runs are copies of this run, which itself has no record."""
        return f"{self.prefix}schedule.json"

    @property
    def firings(self) -> str:
        """Prefix of the decisions at the times at which a schedule has started or skipped a run."""
        return f"{self.prefix}firings/"

    def firing(self, number: int) -> str:
        """Run at one time of a schedule, from 1. Creating the document decides it."""
        return f"{self.firings}{number:09}.json"

    @property
    def notices(self) -> str:
        """Results of sending the notices of the run's end."""
        return f"{self.prefix}notices.json"

    @property
    def report(self) -> str:
        """Report of the run at its end, which its notices link to."""
        return f"{self.prefix}report.html"

    def specs(self, number: int) -> str:
        """Specs of many jobs."""
        return f"{self.prefix}specs/{number}.json"

    def array(self, number: int) -> str:
        """Places of the specs of an array of jobs, by index."""
        return f"{self.prefix}arrays/{number}.json"

    @property
    def jobs(self) -> str:
        """Prefix of what jobs write."""
        return f"{self.prefix}jobs/"

    def result(self, job: str, repetition: int = 0) -> str:
        """Result of a repetition of a job. A job without this object has not completed."""
        return f"{self.jobs}{job}/{repetition_prefix(repetition)}{RESULT}"

    def summary(self, job: str, name: str, repetition: int = 0) -> str:
        """Empty object whose key contains the summary of a result (`runtime/summary.py`)."""
        return f"{self.jobs}{job}/{repetition_prefix(repetition)}{SUMMARY}{name}"

    def outputs(self, job: str) -> str:
        """Prefix under which SageMaker stores the /opt/ml/model of a training job."""
        return f"{self.prefix}jobs/{job}/sagemaker"

    def checkpoints(self, job: str) -> str:
        """Prefix of the /opt/ml/checkpoints of a training job on spot capacity."""
        return f"{self.prefix}jobs/{job}/checkpoints"

    def attempts(self, job: str) -> str:
        return f"{self.prefix}jobs/{job}/attempts/"

    def split(self, key: str) -> tuple[str, str]:
        """Return the job that wrote an object, and the rest of the object's key."""
        job, _, rest = key.removeprefix(self.jobs).partition("/")
        return job, rest

    def attempt(self, job: str, number: int, document: str) -> str:
        """A document of one attempt: `events.json`, `runner.json`, `log.txt`, …."""
        return f"{self.attempts(job)}{number}/{document}"


def repetition_prefix(number: int) -> str:
    """Return the start of the key of a result below its job, by the number of the repetition."""
    return f"repetitions/{number}/" if number else ""


def bundle_key(sha256: str) -> str:
    """Return the key of a source bundle."""
    return f"code/{sha256}.tar.zst"


def build_context_key(sha256: str) -> str:
    """Return the key of the context of an image that is built in the account."""
    return f"code/contexts/{sha256}.zip"


def payload_key(sha256: str) -> str:
    """Return the key of a job's payload."""
    return f"payloads/{sha256}"


def payload_pack_key(sha256: str) -> str:
    """Return the key of a pack of payloads."""
    return f"payloads/packs/{sha256}"


def artifact_key(sha256: str, copy: int = 0) -> str:
    """Return the key of an artifact.

    Args:
        sha256: Digest of its content.
        copy: Number below `COPIES`; above 0 if the objects of lower numbers are damaged.
    """
    return f"{ARTIFACTS}{sha256[:2]}/{sha256}{_copy_suffix(copy)}"


def artifact_pack_key(sha256: str, copy: int = 0) -> str:
    """Return the key of a pack of artifacts.

    Args:
        sha256: Digest of the pack.
        copy: Same as in `artifact_key`.
    """
    return f"{ARTIFACTS}packs/{sha256}{_copy_suffix(copy)}"


def layer_key(sha256: str, copy: int = 0) -> str:
    """Return the key of a layer of installed packages.

    Args:
        sha256: Digest of the requirements.
        copy: Same as in `artifact_key`.
    """
    return f"{LAYERS}{sha256}{_copy_suffix(copy)}.json"


def _copy_suffix(copy: int) -> str:
    return f".{copy}" if copy else ""


def use_key(key: str) -> str:
    """Return the key of the marker that an object is in use."""
    return f"{USES}{key}"


def used_key(marker: str) -> str:
    """Return the key of the object that a marker is about."""
    return marker.removeprefix(USES)


def is_write_once(key: str) -> bool:
    """Return whether the object of a key must not be replaced once it exists."""
    is_rewritten = any(fnmatchcase(key, pattern) for pattern in REWRITTEN)
    return key.startswith(_WRITTEN_ONCE) and not is_rewritten


def cache_entry_key(key: str) -> str:
    """Return the key of a cache entry."""
    return f"{CACHE}{key}.json"


def history_prefix(pipeline: str) -> str:
    """Return the prefix of the durations of a pipeline's earlier runs."""
    # Hashed, because the name may contain characters that a key must not.
    return f"{HISTORY}{hashlib.sha256(pipeline.encode()).hexdigest()[:16]}/"


def history_key(pipeline: str, run_id: str) -> str:
    """Return the key of the durations of one run."""
    return f"{history_prefix(pipeline)}{run_id}.json"


def probe_key(name: str) -> str:
    """Return the key of the object by which a store is tested.

    The test deletes it; otherwise garbage collection does.
    """
    return f"{RUNS}probe-{name}/probe"
