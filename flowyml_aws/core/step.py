"""A step: a function with declared inputs, outputs and resources."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, overload

from flowyml_aws.core.additions import addition_problems, as_additions
from flowyml_aws.core.approvals import Approval
from flowyml_aws.core.auto_resources import DeclaredResources, declared_minimum
from flowyml_aws.core.branches import Branch
from flowyml_aws.core.declared_options import OMITTED, DeclaredOptions, UlimitValue
from flowyml_aws.core.distributed import CLUSTERS, LAUNCHERS, Launcher
from flowyml_aws.core.environment import environment_problems
from flowyml_aws.core.errors import FlowymlError, InvalidStepError, OutputMismatchError
from flowyml_aws.core.job_options import JobOptions, with_options
from flowyml_aws.core.lazy_parameters import Handle, with_handles
from flowyml_aws.core.maps import FailureRule, MapPart, StepMap, make_map
from flowyml_aws.core.mounts import EFS, FSx
from flowyml_aws.core.quantities import Quantity
from flowyml_aws.core.resources import ResourceRequirements
from flowyml_aws.core.run_view import Viewed
from flowyml_aws.core.secret_references import secret_problems
from flowyml_aws.core.spot import SPOT_RULES, SpotRule, with_spot
from flowyml_aws.core.time_spans import TimeSpan, seconds_of

__all__ = ["MapItem", "Scope", "Step", "as_names", "step"]

CacheRule = bool | str | Callable[..., Any]
_CACHE_RULES = ("code_hash", "input_hash")


class _TakesSteps(Protocol):
    def add_step(self, step: Step) -> object: ...


@dataclass(frozen=True, slots=True)
class MapItem:
    """The place of a step's item in its map.

    Attributes:
        step: The mapped step.
        index: Position of the item, or number of the part, from 0.
        on_failure: Rule of its map for failed items.
        part: The part, if the step runs several items whose number is unknown.
    """

    step: Step
    index: int
    on_failure: FailureRule = "finish"
    part: MapPart | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The sub-pipeline that declares a step, and its names in the pipeline that runs the step.

    Attributes:
        path: Name of the sub-pipeline, after those of the sub-pipelines around it: `train/prepare`.
        step: The step as the sub-pipeline declares it.
        assets: Asset in the sub-pipeline → its name in the pipeline.
        own_names: Asset in the pipeline → its name in the sub-pipeline.
        cache_on: Additions to the cache keys of all steps of the sub-pipeline.
    """

    path: str
    step: Step
    assets: Mapping[str, str]
    own_names: Mapping[str, str]
    cache_on: tuple[Any, ...] = ()

    def context(self, names: Iterable[str]) -> dict[str, str]:
        """Return the context value that each name means in the sub-pipeline.

        A sub-pipeline uses the values of its own context, then those of the pipelines around it,
        except if one of its assets has the name.

        Args:
            names: Names in the context of the pipeline: `train/prepare/rate` is `rate` in the
                context of `train/prepare`.
        """
        own = f"{self.path}/"
        meant: dict[str, str] = {}
        for name in sorted(names, key=len):  # the innermost context has the longest names
            context, _, local = name.rpartition("/")
            is_own = context == self.path
            is_around = own.startswith(f"{context}/") if context else True
            if is_own or (is_around and local not in self.assets):
                meant[local] = name
        return meant


@dataclass(frozen=True, eq=False)
class Step:
    """A function with its inputs, outputs and requirements. It can be called like the function.

    Attributes:
        func: The function itself.
        name: Unique name in the pipeline; defaults to the function's name.
        inputs: Assets that the step reads.
        outputs: Assets that the step produces.
        after: Assets or steps that the step waits for without reading a value.
        cache: Cache rule: `"code_hash"`, `"input_hash"`, a callable that returns a key, or False.
        cache_explicit: Whether the user set `cache`, so that outputs are stored for later runs.
        retry: Maximum number of retries.
        retry_delay_s: Seconds before the first retry; doubled for each next one, up to 60.
        timeout_s: Maximum duration of an attempt, or None.
        resources: Resources as declared; `requirements()` parses them.
        tags: Arbitrary labels.
        condition: Function that returns whether the step runs; it gets the same arguments.
        execution_group: Group name; consecutive steps of one group run in one job.
        env: Environment variables of the job that runs the step.
        secrets: References to secrets, by the environment variable that gets the value.
        options: Options of the job that runs the step, as declared; `job` has them parsed.
        notes: Remarks on the declaration, for the plan.
        cache_on: Additions to the cache key: values, paths of files or folders, `Env(NAME)`.
        stop_idle_gpu: Time without use of the job's GPUs after which the step is stopped; None for
            that of the run.
        distributed: Program that starts the function on its nodes, or cluster that runs on them:
            one of `LAUNCHERS`; None to call the function on each node.
        spot: Use of spot capacity: `"always"`, `"prefer"` or `"never"`; None for that of the run.
        mapping: Items for which the step runs; None if it runs once.
        item: Place in a map, if this is one item of a mapped step.
        branch: Case of a decision in which the step runs; None if it does not depend on one.
        cases: Names of the cases of a decision. Empty for any other step.
        case_of: Returns the case for the value that the function of a decision returns; None if it
            returns the case itself.
        view: View of the run that the function of a decision gets as its only argument; None if its
            parameters are filled by name.
        approval: Rule of an approval, which no job runs; None for any other step.
        scope: Sub-pipeline that declares the step; None if the pipeline itself does.
        max_depth: Maximum number of pipelines inside one another that the step may lead to; None
            for a step that is not dynamic.
        unshared: The step as it was before assets of several branches got names of their own, if it
            has any (`shared_assets`).
    """

    func: Callable[..., Any]
    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    cache: CacheRule = "code_hash"
    cache_explicit: bool = False
    retry: int = 0
    retry_delay_s: float = 1.0
    timeout_s: float | None = None
    resources: DeclaredResources = None
    tags: Mapping[str, str] = field(default_factory=dict)
    condition: Callable[..., Any] | None = None
    execution_group: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cache_on: tuple[Any, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    spot: SpotRule | None = None
    mapping: StepMap | None = None
    item: MapItem | None = None
    stop_idle_gpu: TimeSpan | None = None
    distributed: Launcher | None = None
    branch: Branch | None = None
    cases: tuple[str, ...] = ()
    case_of: Callable[[Any], str] | None = None
    view: Viewed | None = None
    approval: Approval | None = None
    scope: Scope | None = None
    options: DeclaredOptions = OMITTED
    max_depth: int | None = None
    unshared: Step | None = None

    def __post_init__(self) -> None:
        if self.item is None:  # an item is made from a step that was checked
            self._check()
        for name in (*functools.WRAPPER_ASSIGNMENTS, "__wrapped__"):
            value = self.func if name == "__wrapped__" else getattr(self.func, name, None)
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        if not callable(self.func):
            raise self._invalid("func", self.func, "a function")
        if not isinstance(self.name, str) or not self.name:
            raise self._invalid("name", self.name, "a string; only functions have a default name")
        for argument, names in (
            ("inputs", self.inputs),
            ("outputs", self.outputs),
            ("after", self.after),
            ("execution_group", (self.execution_group or "",)),
        ):
            # All other code relies on names being strings, so this cannot wait for the report.
            if not all(isinstance(name, str) for name in names):
                raise self._invalid(
                    argument, getattr(self, argument), "a string, or a list of strings"
                )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arguments, keywords = with_handles(self.func, args, kwargs)
        return self.func(*arguments, **keywords)

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets that the step produces: the declared outputs, or one with the name of the step."""
        return self.outputs or (self.name,)

    @property
    def is_lowered(self) -> bool:
        """True for the decision of an `If` or a `Switch`."""
        return self.case_of is not None

    @property
    def is_placed(self) -> bool:
        """True for a decision without a group: it runs in the job of another step."""
        return bool(self.cases) and self.execution_group is None

    @property
    def is_dynamic(self) -> bool:
        """True if its function may return a pipeline, which the run then continues with."""
        return self.max_depth is not None

    @property
    def declared(self) -> Step:
        """The step as its pipeline contains it, also of an item of it."""
        return self if self.item is None else self.item.step

    @property
    def declared_name(self) -> str:
        """Name of the step in its pipeline, also of an item of it."""
        return self.declared.name

    @property
    def own(self) -> Step:
        """The step as its sub-pipeline declares it, or its pipeline, also of an item of it."""
        declared = self.declared
        return declared.unshared or declared if declared.scope is None else declared.scope.step

    @property
    def sub_pipelines(self) -> tuple[str, ...]:
        """Paths of the sub-pipelines that contain the step, from the outermost."""
        scope = self.declared.scope
        names = () if scope is None else scope.path.split("/")
        return tuple("/".join(names[: number + 1]) for number in range(len(names)))

    def with_item(
        self, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], item: MapItem
    ) -> Step:
        """Return the step of one item of this mapped step.

        It is not made by `dataclasses.replace`, which takes ten times as long.
        """
        made = object.__new__(Step)
        made.__dict__.update(
            self.__dict__, name=name, inputs=inputs, outputs=outputs, item=item, mapping=None
        )
        return made

    def without_branch(self) -> Step:
        """Return the step as one that does not depend on a decision."""
        made = object.__new__(Step)
        made.__dict__.update(self.__dict__, branch=None)
        return made

    def map(
        self,
        over: str | Sequence[str] | None = None,
        *,
        grid: Mapping[str, Iterable[Any]] | None = None,
        rows: Iterable[Mapping[str, Any]] | None = None,
        items_per_job: int | None = None,
        on_item_failure: FailureRule = "finish",
        min_success: float | None = None,
        expect: int | None = None,
    ) -> Step:
        """Return a step that runs once for each item of a list, like `[step(x) for x in items]`.

        A step that reads an output of it gets the list of all items in order, without those that
        were skipped or dropped. A step that maps over an output of it gets them one by one.

        Args:
            over: Asset, external input or context value whose items the step gets, or several of
                the same length. An item is passed like the value of an input of this name.
            grid: Values of parameters; the step runs for each combination, and the last parameter
                changes fastest.
            rows: Values of parameters for each item, such as the rows of a table.
            items_per_job: Number of items that one job runs, one after the other. By default the
                plan decides, from the durations of earlier runs and the time that a job needs to
                start.
            on_item_failure: `"finish"` runs the other items, then fails; `"stop"` ends the job of
                the item at once; `"drop"` leaves the item out.
            min_success: Share of the items that must succeed with `"drop"`, from 0 to 1; by
                default one item.
            expect: Number of items to plan for while the length of the list is unknown: if a step
                of the pipeline produces it, or if a plan is made without its value. For a produced
                list, the default is its length in the last run of the pipeline that succeeded.

        Raises:
            InvalidStepError: An argument is invalid, not exactly one of `over`, `grid` and
                `rows` is given, or the step is mapped already.
        """
        if self.mapping is not None:
            raise InvalidStepError(
                what=f"Step {self.name!r} can't be mapped twice",
                why="a step has one list of items",
                fix="write one map over all combinations, such as grid={…}, or over several lists "
                "of the same length",
            )
        mapping = make_map(
            self.name, over, grid, rows, items_per_job, on_item_failure, min_success, expect
        )
        inputs = tuple(dict.fromkeys((*self.inputs, *mapping.over)))
        return replace(self, inputs=inputs, mapping=mapping)

    @property
    def outputs_by_own_name(self) -> dict[str, str]:
        """Assets that the step produces, by the names that its declaration has for them."""
        return dict(zip(self.own.assets, self.assets, strict=True))

    def requirements(self) -> ResourceRequirements | None:
        """Return the step's parsed resources, with the labels of its spot rule and its options.

        Those of `Auto` are its minimum.

        Raises:
            InvalidResourcesError: A key or a string is unknown, or a value has the wrong type.
            AffinityConflictError: The resources require another capacity than `spot`, or another
                queue than `queue`.
        """
        if self.resources is None and self.spot is None and self.options is OMITTED:
            return None
        rule = self.spot if self.spot in SPOT_RULES else None
        return with_options(with_spot(declared_minimum(self.resources), rule), self.job)

    @property
    def job(self) -> JobOptions:
        """Options of the job that runs the step, without invalid ones."""
        return self.options.options()

    @property
    def nodes(self) -> int:
        """Number of machines that the step runs on at once."""
        if self.item is not None:  # a step on several nodes can't be mapped
            return 1
        needs = self.requirements()
        return 1 if needs is None or needs.nodes is None else needs.nodes

    @property
    def has_other_processes(self) -> bool:
        """True if processes of other nodes or of torchrun call the function, too."""
        return self.nodes > 1 or self.distributed is not None

    def split_outputs(self, returned: Any) -> dict[str, Any]:
        """Return the value of each asset, from the function's return value.

        A single output is the whole value. For several outputs, the value must be a tuple or list
        of that length, or a dict with the outputs as keys.

        Raises:
            OutputMismatchError: The return value does not match the declared outputs, or one of
                them is a coroutine, an async generator or a `Lazy`.
        """
        outputs = self._outputs(returned)
        for name, value in outputs.items():
            if isinstance(value, Handle):
                raise OutputMismatchError(
                    what=f"Step {self.name!r} returned a Lazy as {name!r}",
                    why="it reads from the store of its job, and is invalid after its step",
                    fix="return the value or a piece of it: .load(), or rows such as [0:100]",
                )
            if inspect.iscoroutine(value) or inspect.isasyncgen(value):
                if inspect.iscoroutine(value):
                    value.close()  # so that Python does not warn that it was never awaited
                raise OutputMismatchError(
                    what=f"Step {self.name!r} returned a {type(value).__name__} as {name!r}",
                    why="it can only run in the event loop of its step, which ends with the step",
                    fix="return its result: await it, or collect its items in a list",
                )
        return outputs

    def _outputs(self, returned: Any) -> dict[str, Any]:
        names = self.assets
        if self.case_of is not None:
            return {names[0]: self.case_of(returned)}
        if len(names) == 1:
            return {names[0]: returned}
        if isinstance(returned, Mapping) and all(name in returned for name in names):
            return {name: returned[name] for name in names}
        if isinstance(returned, (tuple, list)) and len(returned) == len(names):
            return dict(zip(names, returned, strict=True))
        kind = type(returned).__name__
        got = f"{kind} of {len(returned)}" if isinstance(returned, (tuple, list)) else kind
        raise OutputMismatchError(
            what=f"Step {self.name!r} returned a {got}",
            why=f"it declares {len(names)} outputs: {', '.join(names)}",
            fix=f"return a tuple of {len(names)} values in this order, or a dict with these keys",
        )

    def problems(self) -> list[FlowymlError]:
        """Return an error for each mistake in the declaration of this step."""
        problems: list[FlowymlError] = []
        for name, values in (
            ("inputs", self.inputs),
            ("outputs", self.outputs),
            ("after", self.after),
        ):
            if not all(values):
                problems.append(self._invalid(name, values, "a list of asset names"))
            elif len(set(values)) < len(values):
                problems.append(self._invalid(name, values, "a list without duplicates"))
        if not isinstance(self.retry, int) or not 0 <= self.retry <= 100:
            problems.append(self._invalid("retry", self.retry, "an integer from 0 to 100"))
        if self.timeout_s is not None and not _is_positive(self.timeout_s):
            problems.append(
                self._invalid("timeout", self.timeout_s, "a number of seconds greater than 0")
            )
        if not _is_positive(self.retry_delay_s) and self.retry_delay_s != 0:
            problems.append(self._invalid("retry_delay", self.retry_delay_s, "a number of seconds"))
        if self.cache is not False and self.cache not in _CACHE_RULES and not callable(self.cache):
            rules = '"code_hash", "input_hash", False, or a function that returns a key'
            problems.append(self._invalid("cache", self.cache, rules))
        if self.condition is not None and not callable(self.condition):
            problems.append(self._invalid("condition", self.condition, "a function"))
        for argument, function in (("func", self.func), ("condition", self.condition)):
            if inspect.isasyncgenfunction(function):
                expected = "a function that returns a value, not an async generator"
                problems.append(self._invalid(argument, function, expected))
        if self.execution_group is not None and not self.execution_group:
            problems.append(self._invalid("execution_group", "", "a non-empty string, or omitted"))
        if self.stop_idle_gpu is not None and seconds_of(self.stop_idle_gpu) is None:
            expected = 'a time with a unit, such as "30m", or a number of seconds'
            problems.append(self._invalid("stop_idle_gpu", self.stop_idle_gpu, expected))
        if self.spot is not None and self.spot not in SPOT_RULES:
            rules = ", ".join(f'"{rule}"' for rule in SPOT_RULES)
            problems.append(self._invalid("spot", self.spot, f"one of {rules}, or omitted"))
        if self.distributed is not None and self.distributed not in LAUNCHERS:
            names = ", ".join(f'"{name}"' for name in LAUNCHERS)
            problems.append(
                self._invalid("distributed", self.distributed, f"one of {names}, or omitted")
            )
        problems += self._dynamic_problems()
        problems += environment_problems(self.env, f"step {self.name!r}")
        problems += secret_problems(self.secrets, self.env, f"step {self.name!r}")
        problems += self.options.problems(self.name)
        problems += addition_problems(self.cache_on, f"Step {self.name!r}")
        if self.cache is False and self.cache_on:
            problems.append(self._invalid("cache_on", self.cache_on, "omitted with cache=False"))
        try:
            requirements = self.requirements()
        except FlowymlError as error:
            problems.append(self._located(error))
        else:
            invalid = requirements.problems() if requirements else []
            problems += [self._located(problem) for problem in invalid]
            problems += [] if invalid else self._node_problems()
        return problems

    def _dynamic_problems(self) -> list[FlowymlError]:
        """Return the mistakes of a dynamic step."""
        if self.max_depth is None:
            return []
        problems: list[FlowymlError] = []
        if type(self.max_depth) is not int or self.max_depth < 1:
            problems.append(self._invalid("max_depth", self.max_depth, "an integer from 1"))
        if self.mapping is not None:
            problems.append(
                InvalidStepError(
                    what=f"Dynamic step {self.name!r} is mapped",
                    why="a dynamic step returns one pipeline",
                    fix="write the loop in its function, which adds steps for each item",
                )
            )
        if self.distributed is not None or self._has_nodes():
            problems.append(
                InvalidStepError(
                    what=f"Dynamic step {self.name!r} has several nodes or processes",
                    why="a dynamic step only declares steps",
                    fix="omit `nodes` and `distributed`, and write them in the steps of its "
                    "pipeline",
                )
            )
        return problems

    def _has_nodes(self) -> bool:
        try:
            return self.nodes > 1
        except FlowymlError:
            return False  # reported with the resources

    def _node_problems(self) -> list[FlowymlError]:
        """Return the mistakes of arguments that depend on the number of nodes."""
        if self.nodes == 1 and self.distributed in CLUSTERS:
            return [
                InvalidStepError(
                    what=f"Step {self.name!r}: distributed={self.distributed!r} on one node",
                    why="it starts a cluster of several nodes, and the step has one",
                    fix="add the number of nodes to its resources, such as "
                    "ResourceRequirements(nodes=4), or omit `distributed`: on one machine, the "
                    "function can start a cluster itself",
                )
            ]
        if self.nodes > 1 and self.mapping is not None:
            return [
                InvalidStepError(
                    what=f"Step {self.name!r}: a map of a step with {self.nodes} nodes",
                    why="each item of a map runs on one machine",
                    fix="omit `nodes` to run the items on machines of their own, or omit the map",
                )
            ]
        if self.distributed in LAUNCHERS and self.mapping is not None:
            return [
                InvalidStepError(
                    what=f"Step {self.name!r}: a map of a step with distributed="
                    f"{self.distributed!r}",
                    why="each item of a map runs in the process of its job",
                    fix="omit `distributed`, or omit the map",
                )
            ]
        return []

    def _located(self, error: FlowymlError) -> FlowymlError:
        return type(error)(f"Step {self.name!r}: {error.what}", error.why, error.fix)

    def _invalid(self, argument: str, value: object, expected: str) -> InvalidStepError:
        return InvalidStepError(
            what=f"Step {self.name!r}: Invalid argument {argument}={value!r}",
            why=f"{argument} must be {expected}",
            fix=f"change it in @step({argument}=…)",
        )


@overload
def step(_func: Callable[..., Any], /) -> Step: ...
@overload
def step(
    _func: None = None,
    /,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    after: Sequence[str] | None = None,
    cache: CacheRule | None = None,
    retry: int = 0,
    retry_delay: float = 1.0,
    timeout: float | None = None,
    resources: DeclaredResources = None,
    tags: Mapping[str, str] | None = None,
    name: str | None = None,
    condition: Callable[..., Any] | None = None,
    execution_group: str | None = None,
    env: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    cache_on: Any = None,
    spot: SpotRule | None = None,
    stop_idle_gpu: TimeSpan | None = None,
    distributed: Launcher | None = None,
    image: str | None = None,
    queue: str | None = None,
    priority: int | None = None,
    role: str | None = None,
    shared_memory: Quantity | None = None,
    ulimits: Mapping[str, UlimitValue] | None = None,
    mounts: Sequence[EFS | FSx] | None = None,
    job_definition: str | None = None,
    pipeline: _TakesSteps | None = None,
    register: bool = True,
) -> Callable[[Callable[..., Any]], Step]: ...
def step(
    _func: Callable[..., Any] | None = None,
    /,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    after: Sequence[str] | None = None,
    cache: CacheRule | None = None,
    retry: int = 0,
    retry_delay: float = 1.0,
    timeout: float | None = None,
    resources: DeclaredResources = None,
    tags: Mapping[str, str] | None = None,
    name: str | None = None,
    condition: Callable[..., Any] | None = None,
    execution_group: str | None = None,
    env: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    cache_on: Any = None,
    spot: SpotRule | None = None,
    stop_idle_gpu: TimeSpan | None = None,
    distributed: Launcher | None = None,
    image: str | None = None,
    queue: str | None = None,
    priority: int | None = None,
    role: str | None = None,
    shared_memory: Quantity | None = None,
    ulimits: Mapping[str, UlimitValue] | None = None,
    mounts: Sequence[EFS | FSx] | None = None,
    job_definition: str | None = None,
    pipeline: _TakesSteps | None = None,
    register: bool = True,
) -> Step | Callable[[Callable[..., Any]], Step]:
    """Turn a function into a step: `@step` or `@step(outputs=["model"], …)`.

    Args:
        _func: The function, if used without parentheses.
        inputs: Assets that the step reads. They are passed by parameter name, or by position if no
            parameter has the name.
        outputs: Assets that the step produces; a single one is the whole return value.
        after: Assets (or names of steps) without a parameter: the step starts when the steps that
            produce them have succeeded or were skipped.
        cache: `"code_hash"` (the default), `"input_hash"`, a callable, or False. With an explicit
            rule, outputs that no other job reads are stored, too.
        retry: Maximum number of retries.
        retry_delay: Seconds before the first retry; doubled for each next one, up to 60.
        timeout: Maximum duration of an attempt in seconds.
        resources: A `ResourceRequirements`, or a dict with the same keys. With `"auto"`, or
            `Auto(minimum=…)`, the planner decides the amounts from measurements of earlier runs.
        tags: Arbitrary labels.
        name: Name of the step; defaults to the function's name.
        condition: Function that is called with the step's arguments. If its result is false, the
            step and its descendants are skipped.
        execution_group: Consecutive steps of one group run in one job.
        env: Environment variables of the job that runs the step. They override those of the run.
        secrets: Secrets that the step reads as environment variables: `{"TOKEN": REFERENCE}`, with
            the ARN of a secret in AWS Secrets Manager, or the ARN or name of an SSM parameter. Only
            the job gets the values. They do not count for caching.
        cache_on: Additions to the cache key, evaluated on the client while it plans: a value (such
            as a version of your own), a `Path` for the content of a file or folder, `Env("NAME")`
            for an environment variable of the client, or a list of them.
        spot: `"always"` for spot capacity only, `"never"` for capacity on demand only,
            `"prefer"` for spot capacity until it is lost twice or missing. By default the rule
            of the run.
        stop_idle_gpu: Time without use of the job's GPUs after which the step is stopped and
            fails, such as `"30m"`. By default that of the run.
        distributed: `"torchrun"` starts the function in one process for each GPU of each node (in
            one for each node without GPUs), also on one machine. With `resources` that have several
            `nodes`, `"ray"` or `"dask"` starts a cluster on the nodes and calls the function on the
            main node only. By default the function is called once on each node. The value that the
            main node, or rank 0, returns is the step's.
        image: Container image of the step's job. It must contain Python and packages like those of
            the project's image. By default that of the settings.
        queue: Job queue of AWS Batch for the step's job. By default the plan decides.
        priority: Priority of the job in a fair-share queue of AWS Batch, from 0 (the default) to
            9999. A higher one starts earlier.
        role: ARN of the IAM role whose credentials the code of the job gets. By default that of the
            settings.
        shared_memory: Size of /dev/shm, such as `"8Gi"`. By default half of the job's memory,
            rounded down to a power of two. AWS Batch only.
        ulimits: Limits of the job's processes by name: `{"nofile": 65536}`, or `{"nofile": (1024,
            65536)}` for a soft and a hard limit. AWS Batch only.
        mounts: File systems that the job mounts: `[EFS("fs-…", at="/mnt/data"), FSx("fs-…")]`. AWS
            Batch only.
        job_definition: Name or ARN of an existing job definition of AWS Batch for the step's job,
            which is used as it is. By default one is registered.
        pipeline: Pipeline to add the step to. Steps have no global registry.
        register: Whether the step is added to `pipeline`.
    """

    def decorate(func: Callable[..., Any]) -> Step:
        new_step = Step(
            func=func,
            name=name or str(getattr(func, "__name__", "")),
            inputs=as_names(inputs),
            outputs=as_names(outputs),
            after=as_names(after),
            cache="code_hash" if cache is None or cache is True else cache,
            cache_explicit=cache not in (None, False),
            retry=retry,
            retry_delay_s=retry_delay,
            timeout_s=timeout,
            resources=resources,
            tags=dict(tags or {}),
            condition=condition,
            execution_group=execution_group,
            env=dict(env) if isinstance(env, Mapping) else env or {},
            secrets=dict(secrets) if isinstance(secrets, Mapping) else secrets or {},
            cache_on=as_additions(cache_on),
            spot=spot,
            stop_idle_gpu=stop_idle_gpu,
            distributed=distributed,
            options=DeclaredOptions(
                image=image,
                queue=queue,
                priority=priority,
                role=role,
                shared_memory=shared_memory,
                ulimits=ulimits,
                mounts=mounts,
                job_definition=job_definition,
            ),
        )
        if pipeline is not None and register:
            pipeline.add_step(new_step)
        return new_step

    return decorate if _func is None else decorate(_func)


def as_names(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of an argument that takes one name or several."""
    # A plain string is a single name, not a sequence of characters.
    return (names,) if isinstance(names, str) else tuple(names or ())


def _is_positive(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 < value < math.inf  # type: ignore[operator]
