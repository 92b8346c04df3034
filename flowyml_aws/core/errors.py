"""Expected failures. Each error reports what failed, why, and how to fix it.

The tree of errors, with the exit codes of the command line::

    FlowymlError
    ├── UserError       2  a mistake in a pipeline, an option or a setting
    │   ├── InvalidPipelineError   every mistake of one request
    │   ├── InvalidStepError, InvalidSubPipelineError, DuplicateStepError, DuplicateAssetError,
    │   │   UndefinedAssetError, DependencyCycleError, MissingArgumentError, AmbiguousArgumentError,
    │   │   UntakenInputError, InvalidContextError, InvalidEnvironmentError,
    │   │   UnpicklableStepError, PipelineFileError, InvalidDataError
    │   ├── InvalidResourcesError, InvalidQuantityError, UnknownGpuError, AffinityConflictError,
    │   │   NoInstanceFitsError, PlanOverBudgetError
    │   ├── SettingsError, RequirementsError, MissingExtraError, MissingEngineError
    │   └── RunNotFoundError, RunNotResumableError, OutputNotFoundError, UnknownVersionError,
    │       InvalidVersionError, ApprovalError, StepUnavailableError, NoticeError
    ├── AccountError    3  AWS rejected a call
    │   └── AwsRefusedError        AwsUnavailableError: the same call may succeed later
    ├── JobError        1  a job failed because of its code; a run that failed exits with 1, too
    │   └── OutputMismatchError, UnstorableValueError, UncopyableValueError, UnloggableValueError,
    │       ChangedFileError, CostLimitReachedError, ListMismatchError, TooFewItemsError,
    │       LauncherError
    ├── DataError       4  stored data is missing, damaged or not allowed
    │   └── ArtifactNotFoundError, DamagedArtifactError, UnloadableValueError, PickleRefusedError,
    │       InvalidCatalogError, InvalidKeyError
    ├── UnexpectedError 70 a bug in this package, for any other exception: the command line writes
    │                      its traceback to a file, and names the file
    └── OutputError     74 standard output can't be written

A command that a signal ends exits with 128 and its number: 130 after an interrupt (Ctrl-C), 143
after SIGTERM, 129 after the terminal was closed, 141 if the reader of its output has left.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowyml_aws.core.visible import visible

__all__ = [
    "AccountError",
    "AffinityConflictError",
    "AmbiguousArgumentError",
    "ApprovalError",
    "ArtifactNotFoundError",
    "AwsRefusedError",
    "AwsUnavailableError",
    "ChangedFileError",
    "CostLimitReachedError",
    "DamagedArtifactError",
    "DataError",
    "DependencyCycleError",
    "DuplicateAssetError",
    "DuplicateStepError",
    "FlowymlError",
    "InvalidContextError",
    "InvalidDataError",
    "InvalidEnvironmentError",
    "InvalidPipelineError",
    "InvalidQuantityError",
    "InvalidResourcesError",
    "InvalidStepError",
    "InvalidSubPipelineError",
    "InvalidVersionError",
    "JobError",
    "LauncherError",
    "MissingArgumentError",
    "MissingEngineError",
    "MissingExtraError",
    "NoInstanceFitsError",
    "NoticeError",
    "OutputMismatchError",
    "PipelineFileError",
    "PlanOverBudgetError",
    "RequirementsError",
    "RunNotFoundError",
    "RunNotResumableError",
    "SettingsError",
    "StepUnavailableError",
    "UncopyableValueError",
    "UndefinedAssetError",
    "UnknownGpuError",
    "UnknownVersionError",
    "UnloadableValueError",
    "UnloggableValueError",
    "UnpicklableStepError",
    "UntakenInputError",
    "UserError",
]


class FlowymlError(Exception):
    """Base class for expected failures: what failed, why, and how to fix it."""

    exit_code: int = 2
    """Exit code of a command that fails with this error."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)  # all in `args`, so that errors survive pickling
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        # Visible: an error may quote a job, which must not control the terminal.
        return visible(f"{self.what}\n  why: {self.why}\n  fix: {self.fix}")


class UserError(FlowymlError):
    """A mistake in a pipeline, an option or a setting. Retrying without a change does not help."""


class AccountError(FlowymlError):
    """AWS rejected a call."""

    exit_code = 3


class JobError(FlowymlError):
    """A job failed because of the code of its steps."""

    exit_code = 1


class ListMismatchError(JobError):
    """A list that a step produced can't be mapped over."""


class TooFewItemsError(JobError):
    """Too many items of a mapped step failed."""


class LauncherError(JobError):
    """A program that runs a step on several nodes is not installed, or has failed."""


class DataError(FlowymlError):
    """Stored data is missing, damaged or not allowed."""

    exit_code = 4


class InvalidPipelineError(UserError, ValueError):
    """A pipeline has mistakes, which were found before anything was submitted.

    Attributes:
        problems: One error per mistake, in the order in which they were found.
    """

    def __init__(self, pipeline: str, problems: Sequence[FlowymlError]) -> None:
        problems = tuple({str(problem): problem for problem in problems}.values())
        self.pipeline, self.problems = pipeline, problems
        codes = {problem.exit_code for problem in problems}
        self.exit_code = codes.pop() if len(codes) == 1 else UserError.exit_code
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
        return f"{visible(self.what)}\n{listed}"


class InvalidStepError(UserError, ValueError):
    """A step is declared in a way that cannot work."""


class InvalidSubPipelineError(UserError, ValueError):
    """A sub-pipeline is declared in a way that cannot work."""


class DuplicateStepError(UserError, ValueError):
    """Two steps of one pipeline have the same name."""


class DuplicateAssetError(UserError, ValueError):
    """Two steps produce the same asset."""


class UndefinedAssetError(UserError, ValueError):
    """A step reads an asset that no step produces."""


class DependencyCycleError(UserError, ValueError):
    """The steps of a pipeline have a dependency cycle."""


class MissingArgumentError(UserError, ValueError):
    """A parameter of a step is neither an input nor in the context, and has no default."""


class AmbiguousArgumentError(UserError, ValueError):
    """A parameter of a step has two values."""


class UntakenInputError(UserError, ValueError):
    """A step reads an asset that no parameter takes."""


class InvalidContextError(UserError, ValueError):
    """A context value does not match the type of a parameter that takes it."""


class InvalidEnvironmentError(UserError, ValueError):
    """An environment variable of a job is invalid, reserved, looks secret, or has two values."""


class InvalidQuantityError(UserError, ValueError):
    """A CPU, memory or storage quantity is invalid."""


class InvalidResourcesError(UserError, ValueError):
    """A step's resources have an unknown key or a value of the wrong type."""


class UnknownGpuError(UserError, ValueError):
    """No GPU in the catalog has this name."""


class AffinityConflictError(UserError, ValueError):
    """Two steps of one group require different values of a node label."""


class InvalidDataError(UserError, ValueError):
    """A folder that is an external input does not exist, or can't be read by jobs."""


class PlanOverBudgetError(UserError):
    """A plan exceeds a cost limit, or its cost is unknown."""


class NoInstanceFitsError(UserError, ValueError):
    """No instance type of the available targets satisfies a group's requirements."""


class InvalidVersionError(UserError, ValueError):
    """A version's name is not a valid file name, or its file cannot be read."""


class UnknownVersionError(UserError, ValueError, LookupError):
    """The pipeline has no saved version with this name."""


class PipelineFileError(UserError, ValueError):
    """A file cannot be imported, or does not define exactly one pipeline."""


class SettingsError(UserError, ValueError):
    """A setting is missing, unknown or malformed."""


class MissingExtraError(UserError, ImportError):
    """An optional dependency is not installed."""


class MissingEngineError(UserError, FileNotFoundError):
    """Neither Docker nor podman works on this machine."""


class RequirementsError(UserError, ValueError):
    """The jobs' requirements cannot be resolved or installed."""


class UnpicklableStepError(UserError, TypeError):
    """A step refers to an object that cannot be pickled for its job."""


class OutputMismatchError(JobError, ValueError):
    """A step's return value does not match its declared outputs."""


class UncopyableValueError(JobError, TypeError):
    """A value has several readers, and can't be copied for them."""


class UnloggableValueError(JobError, ValueError):
    """A value or its name can't be logged."""


class ChangedFileError(JobError, ValueError):
    """A file that is a value was changed before its last reader, or while it was uploaded."""


class CostLimitReachedError(JobError):
    """A run was ended because its counted cost reached its limit."""


class ArtifactNotFoundError(DataError, FileNotFoundError):
    """The store has no object with this key."""


class DamagedArtifactError(DataError, OSError):
    """An object in the store differs from what was written."""


class UnloadableValueError(DataError, ValueError):
    """The bytes of a stored value are intact, but this process cannot decode them."""


class RunNotFoundError(UserError, LookupError):
    """No available store contains a run with this id."""


class RunNotResumableError(UserError):
    """A run is still running, or has succeeded, so that it cannot be resumed."""


class StepUnavailableError(UserError):
    """A run has no such step, or what a command needs of the step: its inputs, its job."""


class ApprovalError(UserError):
    """A run has no such approval, or the approval does not wait for an answer."""


class NoticeError(UserError):
    """A recipient has not accepted a notice."""


class AwsRefusedError(AccountError):
    """AWS rejected a call because of credentials, permissions or a limit."""


class AwsUnavailableError(AwsRefusedError):
    """AWS did not answer, or asked to try later. The same call may succeed later."""
