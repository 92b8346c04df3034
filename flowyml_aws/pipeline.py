"""A pipeline: steps and a context, built into groups, planned and run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowyml_aws.client.options import RunKeywords, RunOptions
from flowyml_aws.core.additions import as_additions
from flowyml_aws.core.auto_resources import Auto
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import BuiltPipeline, build_pipeline, lists_in
from flowyml_aws.core.context import Context
from flowyml_aws.core.control_flow import AddedFlow, ControlFlow, If, Switch
from flowyml_aws.core.errors import (
    FlowymlError,
    InvalidPipelineError,
    InvalidStepError,
    InvalidSubPipelineError,
)
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.inlining import inline
from flowyml_aws.core.resources import ResourceRequirements
from flowyml_aws.core.sheets import Sheet, ShownAsSheets
from flowyml_aws.core.step import Step, as_names
from flowyml_aws.core.step_grouping import StepGroup
from flowyml_aws.core.sub_pipelines import SubPipeline

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from flowyml_aws.client.request import RunRequest
    from flowyml_aws.client.result import PipelineResult
    from flowyml_aws.client.run import Run
    from flowyml_aws.client.schedules import NewSchedule
    from flowyml_aws.planning.advice.document import Advice
    from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
    from flowyml_aws.planning.selection import Selection

__all__ = ["Pipeline"]


class Pipeline(ShownAsSheets):
    """Steps that depend on each other through the assets that they read and produce.

    Attributes:
        name: Name of the pipeline; its runs are named after it.
        context: Values for step parameters, by parameter name.
        env: Environment variables of all jobs of its runs, or None.
        secrets: References to secrets for all jobs of its runs, or None; see `step`.
        steps: Steps in declaration order, without those of sub-pipelines and control flows.
        sub_pipelines: Pipelines whose steps are steps of this one.
        added_flows: Control flows with their positions among the steps.
        carry: Global names (`NAME` or `module.NAME`) whose values jobs get from this process, even
            if a job would evaluate an equal value.
        evaluate: Global names that each job evaluates again, even if their values differ from
            those of this process or can't be compared, such as a lock.
        cache_on: Additions to the cache keys of all steps; see `step`.
        enable_cache: Whether its runs reuse outputs of earlier runs, if they have no `cache=`.
    """

    def __init__(
        self,
        name: str,
        context: Context | Mapping[str, Any] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        carry: Collection[str] = (),
        evaluate: Collection[str] = (),
        cache_on: Any = None,
        enable_cache: bool = True,
    ) -> None:
        self.name = name
        self.env = env
        self.secrets = secrets
        self.carry, self.evaluate = tuple(carry), tuple(evaluate)
        self.cache_on = as_additions(cache_on)
        self.enable_cache = enable_cache
        self.context = context if isinstance(context, Context) else Context(**(context or {}))
        self.steps: list[Step] = []
        self.sub_pipelines: list[SubPipeline] = []
        self.added_flows: list[AddedFlow] = []
        self._built: BuiltPipeline | None = None

    def add_step(self, step: Step) -> Self:
        """Add a step. Assets decide the order of execution; declaration order breaks ties.

        Raises:
            InvalidStepError: The argument is not a step.
        """
        if not isinstance(step, Step):
            raise InvalidStepError(
                what=f"Expected a step, got {step!r}",
                why="a pipeline takes functions decorated with @step",
                fix="put @step above the function",
            )
        self.steps.append(step)
        self._built = None
        return self

    def add_steps(self, steps: Iterable[Step]) -> Self:
        """Add several steps.

        Raises:
            InvalidStepError: An item is not a step.
        """
        for step in steps:
            self.add_step(step)
        return self

    def add_sub_pipeline(
        self,
        pipeline: Pipeline,
        name: str | None = None,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        input_mapping: Mapping[str, str] | None = None,
        output_mapping: Mapping[str, str] | None = None,
    ) -> Self:
        """Add the steps of another pipeline, with names that start with its name: `prepare/clean`.

        Its execution groups, and its assets that are not exposed, get such names, too. Its context
        is that of its own steps; the context of this pipeline fills the other parameters.

        Args:
            pipeline: The other pipeline. Steps that are added to it later belong to it, too.
            name: Its name in this pipeline; by default its own name. One pipeline can be added
                several times, with different names.
            inputs: Inputs of it that are assets, inputs or context values of this pipeline. All
                inputs without an `input_mapping` are connected by name, so this list only matters
                for an input that only a condition takes.
            outputs: Assets of it that this pipeline has under the same name. By default, those that
                no step of it reads, unless there is an `output_mapping`.
            input_mapping: Asset, input or context value of this pipeline → input of the other one.
            output_mapping: Asset of the other pipeline → its name in this one.

        Raises:
            InvalidSubPipelineError: The argument is not a pipeline, or the name is invalid. All
                other mistakes are reported when this pipeline is built, planned or run.
        """
        if not isinstance(pipeline, Pipeline):
            raise InvalidSubPipelineError(
                what=f"Expected a pipeline, got {pipeline!r}",
                why="a sub-pipeline is a Pipeline of this package",
                fix="pass a Pipeline; add_step takes steps",
            )
        self.sub_pipelines.append(
            SubPipeline(
                pipeline=pipeline,
                position=len(self.steps),
                name=pipeline.name if name is None else name,
                inputs=as_names(inputs),
                outputs=as_names(outputs),
                input_mapping=dict(input_mapping or {}),
                output_mapping=dict(output_mapping or {}),
            )
        )
        self._built = None
        return self

    def add_control_flow(self, control_flow: ControlFlow) -> Self:
        """Add an `If` or a `Switch`, whose steps run if their case is chosen.

        The steps of its branches are not added with `add_step`.

        Raises:
            InvalidStepError: The argument is neither.
        """
        if not isinstance(control_flow, (If, Switch)):
            raise InvalidStepError(
                what=f"Expected an If or a Switch, got {control_flow!r}",
                why="a pipeline takes control flows of this package",
                fix="import them: from flowyml_aws import If, Switch",
            )
        self.added_flows.append(AddedFlow(control_flow, len(self.steps)))
        self._built = None
        return self

    @property
    def control_flows(self) -> list[ControlFlow]:
        """Control flows in declaration order."""
        return [added.flow for added in self.added_flows]

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """All steps in declaration order, with those of sub-pipelines and control flows."""
        return inline(self).steps

    def build(self, inputs: Collection[str] = ()) -> Self:
        """Order the steps and group them.

        Args:
            inputs: Names of external inputs, which a run will provide.

        Raises:
            InvalidPipelineError: With every mistake found.
        """
        content = inline(self, inputs=inputs)
        known = {*inputs, *lists_in(content.context, content.steps, inputs)}
        bound = bind_steps(content.steps, known, content.context)
        built, problems = build_pipeline(bound, known, content.context)
        if built is None or content.problems:
            raise InvalidPipelineError(self.name, [*content.problems, *problems])
        self._built = built
        return self

    @property
    def dag(self) -> StepGraph:
        """Graph of the steps, in running order. Builds the pipeline if necessary.

        Raises:
            InvalidPipelineError: With every mistake found.
        """
        return self._build().declared

    @property
    def step_groups(self) -> list[StepGroup]:
        """Groups that steps declare, in running order. Builds the pipeline if necessary.

        Raises:
            InvalidPipelineError: With every mistake found.
        """
        return [group for group in self._build().groups if group.execution_group is not None]

    def _build(self) -> BuiltPipeline:
        if self._built is None:
            self.build()
        assert self._built is not None
        return self._built

    def plan(self, **options: Unpack[RunKeywords]) -> ExecutionPlan:
        """Return the plan of a run without running anything.

        Without an AWS account, plans for AWS are made with every instance type that AWS offers.

        Args:
            **options: See `RunOptions`; `inputs` may be names only.

        Raises:
            InvalidPipelineError: With every mistake found.
            FlowymlError: A setting is invalid, or AWS denied a call.
        """
        from flowyml_aws.client.preview import plan_only

        return plan_only(self.request(options))

    def budget_violations(
        self, plan: ExecutionPlan, **options: Unpack[RunKeywords]
    ) -> list[FlowymlError]:
        """Return an error for each cost limit that a plan exceeds.

        Args:
            plan: Plan of this pipeline.
            **options: See `RunOptions`: `max_price_usd_hour` and `max_cost_usd`.
        """
        from flowyml_aws.client.preview import budget_violations

        return budget_violations(plan, self.request(options))

    def explain(self, job: str, **options: Unpack[RunKeywords]) -> tuple[PlannedJob, Selection]:
        """Return a job of the plan, and the selection of its instance type with all candidates.

        Args:
            job: Name of the job in the plan.
            **options: See `RunOptions`; every step is planned, also those that are cached.

        Raises:
            InvalidPipelineError: With every mistake found.
            SettingsError: The plan has no such job, or the job has no instance type.
        """
        from flowyml_aws.client.preview import explain

        return explain(self.request(options), job)

    def advise(self, runs: int = 10, **options: Unpack[RunKeywords]) -> Advice:
        """Return the smallest adequate requests according to earlier runs, and what they save.

        A job has advice if at least three runs have measured all of its steps.

        Args:
            runs: Number of earlier runs to read, the latest ones; at least 3. Each run is recorded
                in the store, and the last ten records are kept.
            **options: See `RunOptions`; every step is planned, also those that are cached.

        Raises:
            InvalidPipelineError: With every mistake found.
            SettingsError: `runs` is too small.
        """
        from flowyml_aws.client.advise import advise

        return advise(self.request(options), runs)

    def submit(self, *, detach: bool = False, **options: Unpack[RunKeywords]) -> Run:
        """Start a run and return immediately.

        On Batch, all jobs are submitted and continue without this process. On this machine and on
        SageMaker, only the jobs without parents are started; `Run.wait` starts the others.

        Args:
            detach: Whether the run continues without this process on SageMaker, too: a small job
                on the Batch queue of the setting `driver_queue` drives it.
            **options: See `RunOptions`.

        Raises:
            InvalidPipelineError: With every mistake found; nothing was submitted.
        """
        # First, as it takes as long as the other imports.
        from flowyml_aws.client.warm_start import start_warm

        start_warm(self.name, self.all_steps, self.env, options)
        from flowyml_aws.client.launch import launch
        from flowyml_aws.client.run import Run

        request = self.request(options, detach)
        return Run(launch(request), allow_pickle=request.options.allow_pickle)

    def schedule(
        self,
        *,
        cron: str | None = None,
        rate: str | None = None,
        timezone: str = "UTC",
        name: str | None = None,
        **options: Unpack[RunKeywords],
    ) -> NewSchedule:
        """Check and plan the runs of a schedule on AWS. Its `create` creates it.

        All that a run executes is decided now: code, values, plan and settings. Every step is
        executed in each run. Not yet run on AWS.

        Args:
            cron: Times with six fields, as of EventBridge Scheduler: `0 6 * * ? *`.
            rate: Interval instead: `12 hours`.
            timezone: Time zone of `cron`, by its name in the IANA database.
            name: Name of the schedule; by default that of the pipeline.
            **options: See `RunOptions`. `cache` and `refresh` have no effect.

        Raises:
            InvalidPipelineError: With every mistake found; nothing was created.
            SettingsError: The times or the name are invalid.
        """
        from flowyml_aws.client.schedules import prepare
        from flowyml_aws.core.schedule_times import schedule_times

        times = schedule_times(cron, rate, timezone)
        return prepare(self.request(options), times, name)

    def run(self, *, progress: bool = True, **options: Unpack[RunKeywords]) -> PipelineResult:
        """Run the pipeline and wait until it ends.

        A failed step does not raise an error: `success` of the result is False.

        Args:
            progress: Whether progress is printed to standard error, or shown in the cell of a
                notebook.
            **options: See `RunOptions`.

        Raises:
            InvalidPipelineError: With every mistake found; nothing was submitted.
        """
        from flowyml_aws.core.termination import end_after_cleanup

        with end_after_cleanup():
            run = self.submit(**options)
            try:
                # After the start of the first jobs: what follows only shows them.
                if not progress:
                    from flowyml_aws.client.notebook import ignore_progress

                    return run.wait(ignore_progress)
                from flowyml_aws.view import watching  # an eighth of a client's start

                with watching(run) as watch:
                    return run.wait(watch)
            except BaseException:
                run.leave()  # the error may be from before `wait`
                raise

    def request(self, options: RunKeywords, detached: bool = False) -> RunRequest:
        """Return the pipeline with the options of a plan or a run. It is not checked.

        Args:
            options: Options of the plan or the run.
            detached: Whether the run must continue without its client.

        Raises:
            SettingsError: An option is unknown or has an invalid value.
        """
        from flowyml_aws.client.request import RunRequest
        from flowyml_aws.packaging.choices import Choices

        run_options = RunOptions.of({"cache": self.enable_cache, **options})
        content = inline(self, inputs=run_options.inputs, context=run_options.context or ())
        return RunRequest(
            name=self.name,
            steps=content.steps,
            context=content.context,
            env=self.env,
            secrets=self.secrets,
            options=run_options,
            detached=detached,
            choices=Choices(content.carry, content.evaluate),
            cache_on=self.cache_on,
            mistakes=content.problems,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self.all_steps)} steps)"

    def _sheets(self) -> list[Sheet]:
        rows = [
            (
                step.name,
                ", ".join(step.inputs),
                ", ".join(step.assets),
                step.execution_group or "",
                _resources_text(step),
            )
            for step in self.all_steps
        ]
        columns = ("step", "inputs", "outputs", "group", "resources")
        context = ", ".join(self.context.keys())
        lines = (f"context: {context}",) if context else ()
        return [Sheet(f"pipeline {self.name}", columns, rows, lines=lines)]


def _resources_text(step: Step) -> str:
    """Return the declared resources of a step, which may be invalid."""
    declared = step.resources
    if isinstance(declared, Auto):
        minimum = _amounts_text(declared.minimum)
        return f"auto, at least {minimum}" if minimum else "auto"
    return declared if isinstance(declared, str) else _amounts_text(declared)


def _amounts_text(declared: ResourceRequirements | Mapping[str, Any] | None) -> str:
    if declared is None:
        return ""
    if isinstance(declared, Mapping):
        return ", ".join(f"{name}: {value}" for name, value in declared.items())
    gpu = f"{declared.gpu.count} × {declared.gpu.gpu_type}" if declared.gpu is not None else None
    amounts = {
        "cpu": declared.cpu,
        "memory": declared.memory,
        "storage": declared.storage,
        "gpu": gpu,
    }
    return ", ".join(f"{name}: {value}" for name, value in amounts.items() if value is not None)
