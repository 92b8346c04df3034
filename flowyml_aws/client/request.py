"""Requests to plan or run a pipeline, and the checks that need neither code nor an account."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flowyml_aws.client.encoded_inputs import data_problems
from flowyml_aws.client.known_decisions import decide_known
from flowyml_aws.client.options import RunOptions
from flowyml_aws.client.placements import chosen_placement
from flowyml_aws.core.additions import addition_problems
from flowyml_aws.core.binding import BoundStep, bind_steps
from flowyml_aws.core.build import BuiltPipeline, build_pipeline, expand_maps, lists_in
from flowyml_aws.core.data_inputs import contains_data
from flowyml_aws.core.distributions import VersionRule
from flowyml_aws.core.environment import environment_problems, merge_environments
from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.maps import EarlierLength
from flowyml_aws.core.parameters import input_problems
from flowyml_aws.core.recipients import parse_recipient, recipient_problems
from flowyml_aws.core.secret_references import secret_problems
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.spot import SPOT_RULES, SpotRule
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.core.time_spans import TIME_UNITS, seconds_of
from flowyml_aws.images.pins import Pins, project_pins
from flowyml_aws.packaging.choices import Choices
from flowyml_aws.packaging.project import Project, find_project
from flowyml_aws.parameters.resolve import ResolvedContext, resolve_context
from flowyml_aws.parameters.rows import resolve_rows, with_sweeps
from flowyml_aws.planning.limits import Limits
from flowyml_aws.planning.placement import Placement
from flowyml_aws.settings.model import Settings

__all__ = ["PlanRequest", "RunRequest"]


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A built pipeline and the values that its plan depends on.

    Attributes:
        graph: All steps.
        groups: All groups in running order.
        context: Parameter values.
        inputs: Values of external inputs, if known.
        forced: Steps that may not be taken from earlier runs.
        environment: Environment variables of all jobs.
        secrets: References to secrets for all jobs, by environment variable.
        choices: Names that jobs get from the client, or evaluate again.
        notes: Notes for the plan.
        cache_on: Additions to the cache keys of all steps.
        cache_versions: Rule for the versions of packages in cache keys.
        pins: Versions of packages that the project requires.
        stores_all: Whether all outputs are stored, also those that only one job reads.
        spot: Use of spot capacity for jobs without a rule of their own.
        empty_maps: Mapped steps whose list is empty, so that the graph does not contain them.
        length_runs: Run that had the assumed number of items, by mapped step.
        cases: Cases of the decisions that the client has made.
        results: Assets that are results of the run, also if a step reads them.
        debug_shell: Whether shells can be opened in the jobs on AWS.
    """

    name: str
    graph: StepGraph
    groups: Sequence[StepGroup]
    placement: Placement
    context: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    forced: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    choices: Choices = field(default_factory=Choices)
    notes: Sequence[str] = ()
    cache_on: tuple[Any, ...] = ()
    cache_versions: VersionRule = "direct"
    pins: Pins = field(default_factory=Pins)
    stores_all: bool = False
    spot: SpotRule | None = None
    empty_maps: tuple[Step, ...] = ()
    length_runs: Mapping[str, str] = field(default_factory=dict)
    cases: Mapping[str, str] = field(default_factory=dict)
    results: frozenset[str] = frozenset()
    debug_shell: bool = False

    @property
    def environments(self) -> Mapping[str, Mapping[str, str]]:
        """Environment variables of the job of each step, by step name."""
        return {
            step.name: {**self.environment, **group.environment}
            for group in self.groups
            for step in group.steps
        }


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A pipeline as its user declared it, with the options of a plan or a run.

    Attributes:
        steps: Steps in declaration order, with those of sub-pipelines and control flows.
        context: Context of the pipeline, with the values of sub-pipelines.
        env: Environment variables of the pipeline.
        secrets: References to secrets of the pipeline, by environment variable.
        options: Options of this plan or run.
        detached: Whether the run must continue without its client.
        choices: Names that jobs get from the client, or evaluate again.
        cache_on: Additions to the cache keys of all steps.
        mistakes: Mistakes in the declarations of sub-pipelines and control flows.
        bound: Steps with their arguments.
        resolved: Context values as the steps get them, and the mistakes in them.
    """

    name: str
    steps: tuple[Step, ...]
    context: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] | None = None
    secrets: Mapping[str, str] | None = None
    options: RunOptions = field(default_factory=RunOptions)
    detached: bool = False
    choices: Choices = field(default_factory=Choices)
    cache_on: tuple[Any, ...] = ()
    mistakes: tuple[FlowymlError, ...] = ()
    bound: tuple[BoundStep, ...] = field(init=False)
    resolved: ResolvedContext = field(init=False)

    def __post_init__(self) -> None:
        of_run = self.options.context or {}
        context = {**self.context, **of_run}
        steps, problems = with_sweeps(self.steps, self.options.sweep)
        object.__setattr__(self, "steps", steps)
        lists = lists_in(context, self.steps, self.options.inputs)
        inputs = {*self.options.inputs, *lists}
        bound = list(bind_steps(self.steps, inputs, context))
        for position, step in enumerate(bound):
            bound[position], mistakes = resolve_rows(step)
            problems += mistakes
        object.__setattr__(self, "bound", tuple(bound))
        # Only once: two conversions would give two objects.
        resolved = resolve_context(self.name, bound, self.context, of_run, lists)
        resolved = replace(resolved, problems=(*self.mistakes, *problems, *resolved.problems))
        object.__setattr__(self, "resolved", resolved)

    @property
    def project(self) -> Project:
        """Project that contains the steps."""
        return find_project(step.func for step in self.steps)

    @property
    def values(self) -> Mapping[str, Any]:
        """Parameter values: the pipeline's context, overridden by that of the options."""
        return self.resolved.values

    @property
    def limits(self) -> Limits:
        """Cost limits of the options.

        Raises:
            SettingsError: A limit is not a number of USD.
        """
        return Limits(self.options.max_price_usd_hour, self.options.max_cost_usd)

    @property
    def assumes_lengths(self) -> bool:
        """True if a step maps over a list that the run produces, without an expected length."""
        once = {asset for step in self.steps if step.mapping is None for asset in step.assets}
        mappings = (step.mapping for step in self.steps if step.mapping is not None)
        return any(m.expect is None and not once.isdisjoint(m.over) for m in mappings)

    def build(
        self, earlier: Mapping[str, EarlierLength] = MappingProxyType({})
    ) -> tuple[BuiltPipeline | None, list[FlowymlError]]:
        """Order, group and expand the steps, and make the decisions that can be made.

        Return the mistakes, and None if it can't be built. A decision that fails remains in it.

        Args:
            earlier: Numbers of items of mapped steps in earlier runs, for lists that the run
                produces.
        """
        lists = lists_in(self.values, self.steps, self.options.inputs)
        inputs = {*self.options.inputs, *lists}
        pipeline, problems = build_pipeline(self.bound, inputs, self.values)
        if pipeline is None:
            return None, problems
        values = {name: self.values[name] for name in lists}
        expanded, problems = expand_maps(pipeline, {**values, **self.options.input_values}, earlier)
        if expanded is None:
            return None, problems
        # Jobs get folders as paths, so a condition that reads one runs in a job.
        known = {n: v for n, v in self.options.input_values.items() if not contains_data(v)}
        return decide_known(expanded, self.values, known)

    def plan(
        self, pipeline: BuiltPipeline, placement: Placement, settings: Settings, pins: Pins
    ) -> PlanRequest:
        """Return the request for the plan of a pipeline that has no mistakes.

        Args:
            pipeline: The built pipeline.
            placement: Service of each group.
            settings: Settings of the project.
            pins: Versions of packages that the project requires.
        """
        names = frozenset(step.name for step in pipeline.graph.steps)
        shell = self.options.debug_shell
        return PlanRequest(
            name=self.name,
            graph=pipeline.graph,
            groups=pipeline.groups,
            placement=placement,
            context=self.values,
            inputs=self._input_values(pipeline),
            forced=self._forced(pipeline) if self.options.cache else names,
            environment=self.environment(settings),
            secrets=merge_environments(self.secrets),
            choices=self.choices,
            notes=self.resolved.notes,
            cache_on=self.cache_on,
            cache_versions=settings.cache_versions,
            pins=pins,
            stores_all=self.options.checkpoint_steps,
            spot=self.options.spot,
            empty_maps=pipeline.empty_maps,
            length_runs=pipeline.length_runs,
            cases=pipeline.cases,
            debug_shell=settings.debug_shell if shell is None else shell,
        )

    def _forced(self, pipeline: BuiltPipeline) -> frozenset[str]:
        """Return the steps to refresh, with the items of mapped steps, and all of sub-pipelines."""
        refreshed = self.options.refreshed
        return frozenset(
            step.name
            for step in pipeline.graph.steps
            if step.name in refreshed
            or step.declared_name in refreshed
            or not refreshed.isdisjoint(step.sub_pipelines)
        )

    def _input_values(self, pipeline: BuiltPipeline) -> dict[str, Any]:
        """Return the values of external inputs, with items instead of lists that are mapped."""
        external, items = pipeline.graph.external_inputs, pipeline.items
        replaced = pipeline.declared.external_inputs.difference(external)
        lists = lists_in(self.values, self.steps, self.options.inputs)
        given = {**{name: self.values[name] for name in lists}, **self.options.input_values}
        values = {name: value for name, value in given.items() if name not in replaced}
        return {**values, **items, **pipeline.cases}

    def pins(self, settings: Settings) -> Pins:
        """Return the versions of packages that the project requires, if cache keys need them."""
        if settings.cache_versions == "none":
            return Pins()
        return project_pins(self.project.root, settings)

    def secret_placeholders(
        self, pipeline: BuiltPipeline, kept: Collection[str]
    ) -> Mapping[str, str]:
        """Return a string for each secret, to load the program without its value.

        Args:
            pipeline: The pipeline.
            kept: Variables that keep their value.
        """
        mappings = (self.secrets, *(group.secrets for group in pipeline.groups))
        names = merge_environments(*mappings)
        return {name: "secret" for name in names if name not in kept}

    def recipient_problems(self, placement: Placement, settings: Settings) -> list[FlowymlError]:
        """Return an error for each webhook whose URL the sender of the notice would not find."""
        chosen = settings.notify if self.options.notify is None else self.options.notify
        if recipient_problems(chosen, ""):
            return []  # reported by `problems`
        is_sent_elsewhere = self.detached and placement.host == "account"
        variables = {each.variable for each in map(parse_recipient, chosen) if each is not None}
        return [
            _unknown_webhook(name, is_sent_elsewhere)
            for name in sorted(filter(None, variables))
            if is_sent_elsewhere or not os.environ.get(name)
        ]

    def environment(self, settings: Settings) -> Mapping[str, str]:
        """Return the environment variables that the user gives all jobs."""
        return merge_environments(settings.env, self.env, self.options.env)

    def placement(self, project: Path) -> Placement:
        """Return the service of each group: from the options, the setting, or the default.

        Raises:
            SettingsError: A service does not exist, the services can't be mixed, or the settings
                can't be read.
        """
        return chosen_placement(self.options.backend, project)

    def problems(
        self, pipeline: BuiltPipeline | None, placement: Placement | None
    ) -> list[FlowymlError]:
        """Return the mistakes in the options."""
        problems: list[FlowymlError] = []
        if pipeline is not None:
            problems += input_problems(pipeline.declared)
        if placement is not None and pipeline is not None:
            problems += placement.problems(pipeline.groups)
        names = [step.name for step in self.steps if step.approval is None]
        items = {step.name for step in pipeline.graph.steps} if pipeline is not None else set()
        units = {name for step in self.steps for name in step.sub_pipelines}
        unknown = sorted(self.options.refreshed.difference(names, items, units))
        problems += [_no_such_step(name, [*names, *sorted(units)]) for name in unknown]
        try:
            _ = self.limits
        except SettingsError as error:
            problems.append(error)
        if self.options.spot is not None and self.options.spot not in SPOT_RULES:
            problems.append(_no_such_rule(self.options.spot))
        idle = self.options.stop_idle_gpu
        if idle is not None and seconds_of(idle) is None:
            problems.append(_no_time_span(idle))
        inputs = {} if pipeline is None else self._input_values(pipeline)
        problems += data_problems(inputs, self.values, self.project.root)
        problems += environment_problems(self.env, f"pipeline {self.name!r}")
        problems += environment_problems(self.options.env, "the run")
        problems += secret_problems(self.secrets, self.env, f"pipeline {self.name!r}")
        problems += addition_problems(self.cache_on, f"Pipeline {self.name!r}")
        problems += recipient_problems(self.options.notify, "the option notify")
        return [*problems, *self.resolved.problems]


def _no_such_rule(spot: str) -> SettingsError:
    return SettingsError(
        what=f"Invalid option spot={spot!r}",
        why=f"the rules are {', '.join(SPOT_RULES)}",
        fix=did_you_mean(str(spot), SPOT_RULES, "write one of them, or omit it for the cheapest"),
    )


def _unknown_webhook(variable: str, is_sent_elsewhere: bool) -> SettingsError:
    return SettingsError(
        what=f"The URL of the webhook webhook:env:{variable} is not known to its sender",
        why="the driver of a detached run sends the notice, and does not have the variables of "
        "this machine"
        if is_sent_elsewhere
        else f"the variable {variable} is not set",
        fix="store the URL in AWS Secrets Manager or as an SSM parameter, and write webhook:SECRET"
        if is_sent_elsewhere
        else "set it, or remove the recipient",
    )


def _no_time_span(value: object) -> SettingsError:
    return SettingsError(
        what=f"Invalid option stop_idle_gpu={value!r}",
        why=f"it must be a number with a unit ({TIME_UNITS}), or a number of seconds above 0",
        fix='write for example stop_idle_gpu="30m" (--stop-idle-gpu 30m)',
    )


def _no_such_step(name: str, names: Sequence[str]) -> SettingsError:
    return SettingsError(
        what=f"No step {name!r} to refresh",
        why=f"the steps are {', '.join(names)}",
        fix=did_you_mean(name, names, "name one of them"),
    )
