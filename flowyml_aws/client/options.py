"""Options of plans and runs: the only place with their defaults and their documentation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.spot import SpotRule
from flowyml_aws.core.time_spans import TimeSpan

__all__ = ["BackendSpec", "RunKeywords", "RunOptions", "UnknownOptionError"]

BackendSpec = str | Mapping[str, str]
"""A service for all groups, or that of each group: `{"training": "sagemaker", "*": "batch"}`."""


class UnknownOptionError(SettingsError, TypeError):
    """A keyword argument is not an option of a run."""


class RunKeywords(TypedDict, total=False):
    """Keyword arguments that become `RunOptions`, for type checkers."""

    backend: BackendSpec | None
    inputs: Mapping[str, Any] | Collection[str]
    context: Mapping[str, Any] | None
    cache: bool
    refresh: Collection[str]
    env: Mapping[str, str] | None
    max_price_usd_hour: float | None
    max_cost_usd: float | None
    allow_pickle: bool | None
    checkpoint_steps: bool
    spot: SpotRule | None
    sweep: Mapping[str, Sequence[Mapping[str, Any]]]
    stop_idle_gpu: TimeSpan | None
    notify: Sequence[str] | None
    debug_shell: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """Options of a plan or a run.

    Attributes:
        backend: Service that runs the jobs: `local`, `batch` or `sagemaker`; or the service of
            each group (or step without a group): `{"training": "sagemaker", "*": "batch"}`.
            None for the setting `backend`, or `local` if it is not set.
        inputs: Values of external inputs (assets that no step produces), by asset name.
            `LocalData` and `S3Prefix` are folders, which steps get as paths. For a plan, names are
            enough.
        context: Parameter values that override those of the pipeline's context. A value of the
            context of a sub-pipeline has the name `prepare/rate`.
        cache: Whether outputs of earlier runs may be reused. If False, every step is executed;
            its outputs can still be reused by later runs. Defaults to the pipeline's
            `enable_cache`, which is True.
        refresh: Steps or sub-pipelines to execute even if their outputs are cached, with all
            steps that depend on them.
        env: Environment variables of all jobs. They override those of the pipeline and of the
            setting `env`; those of a step override them. They must not contain secrets.
        max_price_usd_hour: Maximum price of a job on every instance type that it may start on, of
            all its nodes together, in USD per hour. None for the setting of this name, or no limit.
        max_cost_usd: Maximum cost of the run in its expected time, on the most expensive types
            that may be started, in USD. It is enforced while the run continues, too. None for the
            setting of this name, or no limit.
        allow_pickle: Whether outputs whose format can execute code (pickle) may be loaded on this
            machine. None for the setting of this name.
        checkpoint_steps: Whether all outputs are stored, also those that only steps of the same
            job read. An attempt that follows a lost host, and `resume`, then repeat one step
            instead of the whole group. On spot capacity, this is always the case.
        spot: Use of spot capacity for the steps that have no rule of their own: `always`,
            `prefer` or `never`. None for what is cheapest.
        sweep: For a step that runs once for each row: the values of its parameters in each row. It
            replaces the `grid` or the `rows` of a mapped step.
        stop_idle_gpu: Time without use of the GPUs of its job after which a step is stopped and
            fails, such as `"30m"`; for the steps that have no time of their own. None for the
            setting of this name, or never.
        notify: Recipients of a notice when the run has ended: `sns:TOPIC_ARN`, `events:BUS`,
            `webhook:SECRET` or `webhook:env:VARIABLE`. None for the setting of this name, or none.
        debug_shell: Whether jobs on AWS are submitted so that `flowyml-aws shell` can open a shell
            in them. None for the setting of this name.
    """

    backend: BackendSpec | None = None
    inputs: Mapping[str, Any] | Collection[str] = field(default_factory=dict)
    context: Mapping[str, Any] | None = None
    cache: bool = True
    refresh: Collection[str] = ()
    env: Mapping[str, str] | None = None
    max_price_usd_hour: float | None = None
    max_cost_usd: float | None = None
    allow_pickle: bool | None = None
    checkpoint_steps: bool = False
    spot: SpotRule | None = None
    sweep: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    stop_idle_gpu: TimeSpan | None = None
    notify: Sequence[str] | None = None
    debug_shell: bool | None = None

    def __post_init__(self) -> None:
        names = self.refresh
        if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
            raise SettingsError(
                what=f"Invalid option refresh={names!r}",
                why="it must be the name of a step, or a list of names",
                fix='write for example refresh=["train"]; cache=False executes all steps',
            )

    @classmethod
    def of(cls, keywords: RunKeywords) -> RunOptions:
        """Return the options of keyword arguments.

        Raises:
            UnknownOptionError: A keyword is not an option.
            SettingsError: An option has an invalid value.
        """
        known = [option.name for option in fields(cls)]
        for name in keywords:
            if name not in known:
                raise UnknownOptionError(
                    what=f"Unknown option {name!r}",
                    why=f"the options of a run are {', '.join(known)}",
                    fix=did_you_mean(name, known, "remove it"),
                )
        return cls(**keywords)

    @property
    def input_values(self) -> Mapping[str, Any]:
        """Values of the external inputs; empty if only names are known."""
        return self.inputs if isinstance(self.inputs, Mapping) else {}

    @property
    def refreshed(self) -> frozenset[str]:
        """Names of the steps to refresh."""
        return frozenset([self.refresh] if isinstance(self.refresh, str) else self.refresh)
