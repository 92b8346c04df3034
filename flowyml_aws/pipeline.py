"""A pipeline: steps and a context, built into groups, planned and run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flowyml_aws.core.context import Context
from flowyml_aws.core.errors import FlowymlError, InvalidPipelineError, InvalidStepError
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup, affinity_conflicts, group_steps

if TYPE_CHECKING:
    from flowyml_aws.planning.limits import Limits
    from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
    from flowyml_aws.planning.selection import Selection
    from flowyml_aws.request import RunRequest
    from flowyml_aws.result import PipelineResult
    from flowyml_aws.run import Run

__all__ = ["BackendSpec", "Pipeline"]

BackendSpec = str | Mapping[str, str]
"""A backend, or that of each group: `{"training": "sagemaker", "*": "batch"}`."""


class Pipeline:
    """Steps that depend on each other through the assets that they read and produce.

    Attributes:
        name: Names its runs.
        context: Parameters, handed to steps by parameter name.
        steps: In the order in which they were added.
    """

    def __init__(self, name: str, context: Context | Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.context = context if isinstance(context, Context) else Context(**(context or {}))
        self.steps: list[Step] = []
        self._built: tuple[StepGraph, tuple[StepGroup, ...]] | None = None

    def add_step(self, step: Step) -> Pipeline:
        """Add a step; assets, not this order, decide what waits for what."""
        if not isinstance(step, Step):
            raise InvalidStepError(
                what=f"{step!r} is no step",
                why="a pipeline takes functions decorated with @step",
                fix="put @step above the function",
            )
        self.steps.append(step)
        self._built = None
        return self

    def add_steps(self, steps: Iterable[Step]) -> Pipeline:
        """Add several steps."""
        for step in steps:
            self.add_step(step)
        return self

    def build(self, inputs: Collection[str] = ()) -> Pipeline:
        """Order the steps and group them.

        Args:
            inputs: Assets that a run will bring along.

        Raises:
            InvalidPipelineError: With every mistake found.
        """
        graph, problems = read_graph(self.steps, inputs)
        if graph is not None:
            problems += affinity_conflicts(graph.steps)
        if graph is None or problems:
            raise InvalidPipelineError(self.name, problems)
        self._built = (graph, group_steps(graph.steps))
        return self

    @property
    def step_groups(self) -> list[StepGroup]:
        """The groups that were asked for, in running order; built if they are not yet."""
        _, groups = self._built or self.build()._parts()
        return [group for group in groups if group.execution_group is not None]

    def plan(
        self,
        backend: BackendSpec = "local",
        inputs: Mapping[str, Any] | Collection[str] = (),
        context: Mapping[str, Any] | None = None,
        cache: bool = True,
        refresh: Collection[str] = (),
    ) -> ExecutionPlan:
        """What a run would do, without doing it.

        Args:
            backend: As in `run`. Without an account, plans are made with all that AWS offers.
            inputs: Assets that the run will bring along, with their values as far as known.
            context: Parameters on top of the pipeline's own.
            cache: As in `run`.
            refresh: As in `run`.

        Raises:
            InvalidPipelineError: With every mistake found.
            FlowymlError: Settings are wrong, or AWS refused.
        """
        from flowyml_aws.preview import plan_only

        return plan_only(self._request(backend, inputs, context, cache, refresh))

    def budget_violations(
        self,
        plan: ExecutionPlan,
        max_price_usd_hour: float | None = None,
        max_cost_usd: float | None = None,
    ) -> list[FlowymlError]:
        """Why a run of a plan of this pipeline would be refused for what it costs.

        Args:
            plan: Made by `plan`.
            max_price_usd_hour: As in `run`; else the setting.
            max_cost_usd: As in `run`; else the setting.
        """
        from flowyml_aws.planning.limits import Limits
        from flowyml_aws.preview import budget_violations

        return budget_violations(plan, self.steps, Limits(max_price_usd_hour, max_cost_usd))

    def explain(
        self, job: str, backend: BackendSpec = "batch", inputs: Collection[str] = ()
    ) -> tuple[PlannedJob, Selection]:
        """A job of the plan, and the choice of its instance type with all that was rejected.

        Args:
            job: A job's name in the plan.
            backend: Where jobs would run, as in `run`.
            inputs: Assets that the run will bring along.

        Raises:
            InvalidPipelineError: With every mistake found.
            SettingsError: The plan has no such job, or the backend has no instance types.
        """
        from flowyml_aws.preview import explain

        return explain(self._request(backend, inputs), job)

    def submit(
        self,
        backend: BackendSpec = "local",
        inputs: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        cache: bool = True,
        refresh: Collection[str] = (),
        max_price_usd_hour: float | None = None,
        max_cost_usd: float | None = None,
        detach: bool = False,
        allow_pickle: bool | None = None,
    ) -> Run:
        """Start a run and return at once.

        On `batch` all its jobs are submitted and go on without this process. On `local` and
        `sagemaker` the jobs that can start are started; `run.wait()` starts the others.

        Args:
            backend: As in `run`.
            inputs: Values of assets that no step produces.
            context: Parameters on top of the pipeline's own.
            cache: As in `run`.
            refresh: As in `run`.
            max_price_usd_hour: No job may use an instance type that costs more.
            max_cost_usd: The run must not be expected to cost more.
            detach: Whether it goes on without this process on SageMaker, too: a small job on the
                Batch queue that the setting `driver_queue` names drives it.
            allow_pickle: Whether its outputs may be read here that can run code; None for the
                setting.

        Raises:
            InvalidPipelineError: With every mistake found; nothing was submitted.
        """
        from flowyml_aws.launch import launch, problems_of_steps
        from flowyml_aws.planning.limits import Limits
        from flowyml_aws.planning.placement import Placement
        from flowyml_aws.run import Run

        inputs = inputs or {}
        limits = Limits(max_price_usd_hour, max_cost_usd)
        try:
            request = self._request(backend, inputs, context, cache, refresh, limits, detach)
        except InvalidPipelineError as error:
            values = self._values(context)
            placement = Placement.of(backend)
            more = problems_of_steps(self.name, self.steps, values, inputs, placement)
            raise InvalidPipelineError(self.name, [*error.problems, *more]) from None
        return Run(launch(request), allow_pickle=allow_pickle)

    def run(
        self,
        inputs: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        backend: BackendSpec = "local",
        progress: bool = True,
        cache: bool = True,
        refresh: Collection[str] = (),
        max_price_usd_hour: float | None = None,
        max_cost_usd: float | None = None,
        allow_pickle: bool | None = None,
    ) -> PipelineResult:
        """Run it and wait for its end; a failing step makes `success` False and does not raise.

        Args:
            inputs: Values of assets that no step produces.
            context: Parameters on top of the pipeline's own.
            backend: Where jobs run: `local`, `batch` or `sagemaker`; or that of each group, or
                step without a group: `{"training": "sagemaker", "*": "batch"}`.
            progress: Tell on standard error how it goes.
            cache: Take what earlier runs made, where nothing has changed since. False runs every
                step; what they make serves later runs.
            refresh: Steps that run in any case, with all that depends on them.
            max_price_usd_hour: No job may use an instance type that costs more.
            max_cost_usd: The run must not be expected to cost more.
            allow_pickle: As in `submit`.

        Raises:
            InvalidPipelineError: With every mistake found; nothing was submitted.
        """
        from flowyml_aws.view import watching

        run = self.submit(
            backend,
            inputs,
            context,
            cache,
            refresh,
            max_price_usd_hour,
            max_cost_usd,
            allow_pickle=allow_pickle,
        )
        with watching(run, quiet=not progress) as watch:
            return run.wait(watch)

    def _request(
        self,
        backend: BackendSpec,
        inputs: Mapping[str, Any] | Collection[str] = (),
        context: Mapping[str, Any] | None = None,
        cache: bool = True,
        refresh: Collection[str] = (),
        limits: Limits | None = None,
        detach: bool = False,
    ) -> RunRequest:
        from flowyml_aws.planning.limits import Limits
        from flowyml_aws.planning.placement import Placement
        from flowyml_aws.request import RunRequest

        graph, groups = self.build(inputs)._parts()
        return RunRequest(
            name=self.name,
            graph=graph,
            groups=groups,
            placement=Placement.of(backend),
            context=self._values(context),
            inputs=inputs if isinstance(inputs, Mapping) else {},
            cache=cache,
            refresh=frozenset([refresh] if isinstance(refresh, str) else refresh),
            limits=limits or Limits(),
            detached=detach,
        )

    def _values(self, context: Mapping[str, Any] | None) -> Mapping[str, Any]:
        return self.context.inherit(**(context or {})).to_dict()

    def _parts(self) -> tuple[StepGraph, tuple[StepGroup, ...]]:
        assert self._built is not None
        return self._built

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, {len(self.steps)} steps)"
