"""Expected failures: each says what failed, why, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AffinityConflictError",
    "ArtifactNotFoundError",
    "AwsRefusedError",
    "DamagedArtifactError",
    "DependencyCycleError",
    "DuplicateAssetError",
    "DuplicateStepError",
    "FlowymlError",
    "InvalidPipelineError",
    "InvalidQuantityError",
    "InvalidResourcesError",
    "InvalidStepError",
    "InvalidVersionError",
    "MissingArgumentError",
    "MissingEngineError",
    "MissingExtraError",
    "NoInstanceFitsError",
    "OutputMismatchError",
    "PipelineFileError",
    "PlanTooDearError",
    "RequirementsError",
    "RunNotFoundError",
    "SettingsError",
    "UndefinedAssetError",
    "UnknownGpuError",
    "UnknownVersionError",
    "UnpicklableStepError",
]


class FlowymlError(Exception):
    """An expected failure, told as what failed, why, and what to do next."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)  # all in `args`, so that errors survive pickling
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why}\n  fix: {self.fix}"


class InvalidPipelineError(FlowymlError, ValueError):
    """All the mistakes found in a pipeline before anything was submitted.

    Attributes:
        problems: One error per mistake, in the order in which they were found.
    """

    def __init__(self, pipeline: str, problems: Sequence[FlowymlError]) -> None:
        problems = tuple({str(problem): problem for problem in problems}.values())
        self.pipeline, self.problems = pipeline, problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            what=f"Pipeline {pipeline!r} can't run: {count} found, nothing was submitted",
            why="; ".join(problem.what for problem in problems),
            fix="; ".join(dict.fromkeys(problem.fix for problem in problems)),
        )

    def __reduce__(self) -> tuple[type, tuple[str, tuple[FlowymlError, ...]]]:
        return type(self), (self.pipeline, self.problems)

    def __str__(self) -> str:
        listed = "\n".join(f"{n}. {problem}" for n, problem in enumerate(self.problems, 1))
        return f"{self.what}\n{listed}"


class InvalidStepError(FlowymlError, ValueError):
    """A step is declared in a way that cannot work."""


class DuplicateStepError(FlowymlError, ValueError):
    """Two steps of one pipeline have the same name."""


class DuplicateAssetError(FlowymlError, ValueError):
    """Two steps produce the same asset."""


class UndefinedAssetError(FlowymlError, ValueError):
    """A step reads an asset that no step produces."""


class DependencyCycleError(FlowymlError, ValueError):
    """Steps wait for each other in a circle."""


class MissingArgumentError(FlowymlError, ValueError):
    """A parameter of a step is neither an input nor in the context, and has no default."""


class InvalidQuantityError(FlowymlError, ValueError):
    """A CPU, memory or storage quantity cannot be read."""


class InvalidResourcesError(FlowymlError, ValueError):
    """A step's resources have an unknown key or a value of the wrong kind."""


class UnknownGpuError(FlowymlError, ValueError):
    """No GPU in the catalog has this name."""


class AffinityConflictError(FlowymlError, ValueError):
    """Two steps of one group require different values of one node label."""


class PlanTooDearError(FlowymlError):
    """A plan costs more than a limit allows, or what it costs is unknown."""


class NoInstanceFitsError(FlowymlError, ValueError):
    """No instance type on the targets at hand serves a group's resources."""


class InvalidVersionError(FlowymlError, ValueError):
    """A pipeline's version has a name that no file can have, or a file that cannot be read."""


class UnknownVersionError(FlowymlError, ValueError, LookupError):
    """No version of the pipeline is saved under this name."""


class PipelineFileError(FlowymlError, ValueError):
    """A file does not import, or does not hold exactly one pipeline."""


class SettingsError(FlowymlError, ValueError):
    """A setting is missing, unknown or malformed."""


class MissingExtraError(FlowymlError, ImportError):
    """An optional dependency is not installed."""


class MissingEngineError(FlowymlError, FileNotFoundError):
    """Neither Docker nor podman works on this machine."""


class RequirementsError(FlowymlError, ValueError):
    """What jobs are to install can't be resolved or installed."""


class UnpicklableStepError(FlowymlError, TypeError):
    """A step refers to something that cannot travel to the job."""


class OutputMismatchError(FlowymlError, ValueError):
    """A step returned something else than its declared outputs."""


class ArtifactNotFoundError(FlowymlError, FileNotFoundError):
    """Nothing lies under a key of the store."""


class DamagedArtifactError(FlowymlError, OSError):
    """The bytes in the store are not those that were stored."""


class RunNotFoundError(FlowymlError, LookupError):
    """No run has this id in the stores at hand."""


class AwsRefusedError(FlowymlError):
    """AWS denied or rejected a call: credentials, permissions or a limit."""
