"""Stand-in for FlowyML in a job in which it is not installed.

The user's modules begin with `from flowyml import step, Pipeline`, but a job needs only the
functions of the steps. If FlowyML is not installed, minimal modules with its names replace it.
Importing a name that they do not define raises an error that says so.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from flowyml_aws.core.context import Context
from flowyml_aws.core.loading import stop_while_loading
from flowyml_aws.core.resources import GPUConfig, NodeAffinity, ResourceRequirements
from flowyml_aws.runtime.flowyml_map_task import map_task_of

if TYPE_CHECKING:
    from importlib.abc import Loader

__all__ = [
    "Orchestrator",
    "is_stand_in",
    "prepare_flowyml",
    "stand_in_for_flowyml",
    "stop_flowyml_runs",
]

_ORIGIN = "FlowyML's stand-in"


def stand_in_for_flowyml() -> None:
    """Make the stand-in importable if FlowyML is not installed."""
    if importlib.util.find_spec("flowyml") is None:
        sys.meta_path.append(_Finder())  # last: a real module of the same name has precedence


def is_stand_in(module: ModuleType) -> bool:
    """Return whether a module of FlowyML is that of the stand-in."""
    return module.__spec__ is not None and module.__spec__.origin == _ORIGIN


def prepare_flowyml() -> None:
    """Prepare a job, or a process that its steps start, for a program that imports FlowyML."""
    stand_in_for_flowyml()
    stop_flowyml_runs()


def stop_flowyml_runs() -> None:
    """End a script that is executed for its definitions at a run of FlowyML's own pipeline, too."""
    sys.meta_path.insert(0, _PipelineFinder())


class Step:
    """A step of the stand-in, which classes of the user can extend."""

    def __init__(
        self,
        func: Callable[..., Any],
        name: str | None = None,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        self.func, self.name = func, name or func.__name__
        self.inputs, self.outputs = inputs or [], outputs or []
        self.condition = options.get("condition")
        self.tags = options.get("tags") or {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)


class Orchestrator:
    """An orchestrator that the script creates; a job starts no runs."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


def _step(
    _func: Callable[..., Any] | None = None,
    *,
    pipeline: str | None = None,
    register: bool = True,
    **options: Any,
) -> Any:
    def decorate(func: Callable[..., Any]) -> Step:
        return Step(func, **options)

    return decorate if _func is None else decorate(_func)


@dataclass
class MapTaskConfig:
    """Options of `@map_task`."""

    concurrency: int = 4
    retries: int = 0
    retry_delay: float = 1.0
    min_success_ratio: float = 1.0
    fail_fast: bool = False
    timeout_per_item: int | None = None


@dataclass
class MapTaskResult:
    """Results of the items of a map task."""

    results: list[Any] = field(default_factory=list)
    successes: int = 0
    failures: int = 0
    errors: dict[int, str] = field(default_factory=dict)
    total: int = 0

    @property
    def success_ratio(self) -> float:
        return self.successes / self.total if self.total > 0 else 0.0

    @property
    def successful_results(self) -> list[Any]:
        return [result for result in self.results if result is not None]


class MapTaskStep(Step):
    """A step of the stand-in that calls its function for each item of a list."""

    def __init__(
        self,
        func: Callable[..., Any],
        config: MapTaskConfig,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(func, name, **options)
        self.map_config = config

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        map_task = map_task_of(self)
        assert map_task is not None
        return map_task(*args, **kwargs)


def _map_task(
    _func: Callable[..., Any] | None = None, *, name: str | None = None, **options: Any
) -> Any:
    names = [each.name for each in fields(MapTaskConfig)]
    config = MapTaskConfig(**{name: options.pop(name) for name in names if name in options})

    def decorate(func: Callable[..., Any]) -> MapTaskStep:
        return MapTaskStep(func, config, name, **options)

    return decorate if _func is None else decorate(_func)


class _Pipeline:
    """Accepts the calls that modules make on a pipeline while they are imported."""

    def __init__(self, name: str, *_: Any, context: Any = None, **__: Any) -> None:
        self.name, self.context = name, context or Context()
        self.steps: list[Any] = []

    @classmethod
    def from_steps(cls, *steps: Any, name: str, **options: Any) -> _Pipeline:
        return cls(name, **options).add_steps(steps)

    def add_step(self, step: Any) -> _Pipeline:
        self.steps.append(step)
        return self

    def add_steps(self, steps: Iterable[Any]) -> _Pipeline:
        self.steps += steps
        return self

    def build(self) -> None:
        """Do nothing: the client has built the pipeline."""

    def run(self, *_: Any, **__: Any) -> Any:
        stop_while_loading()
        raise _needs_flowyml("Pipeline.run")


# Its steps count as those of FlowyML, and clients load its results as FlowyML's.
Step.__module__ = "flowyml.core.step"
for _class in (MapTaskConfig, MapTaskResult, MapTaskStep):
    _class.__module__ = "flowyml.core.map_task"

_RESOURCES: Mapping[str, Any] = {
    "GPUConfig": GPUConfig,
    "NodeAffinity": NodeAffinity,
    "ResourceRequirements": ResourceRequirements,
    "resources": ResourceRequirements,
}
_CORE: Mapping[str, Any] = {
    "Context": Context,
    "Pipeline": _Pipeline,
    "Step": Step,
    "context": Context,
    "step": _step,
}
_MAP_TASKS: Mapping[str, Any] = {
    "MapTaskResult": MapTaskResult,
    "MapTaskStep": MapTaskStep,
    "map_task": _map_task,
}
_PIPELINES = {"Pipeline": _Pipeline, "VersionedPipeline": _Pipeline}
_PIPELINES_MODULE = "flowyml.core.pipeline"
_MODULES: Mapping[str, Mapping[str, Any]] = {
    "flowyml": {**_CORE, **_PIPELINES, **_MAP_TASKS},
    "flowyml.core": {**_CORE, **_RESOURCES},
    "flowyml.core.context": {"Context": Context, "context": Context},
    "flowyml.core.map_task": {**_MAP_TASKS, "MapTaskConfig": MapTaskConfig},
    "flowyml.core.pipeline": {"Pipeline": _Pipeline},
    "flowyml.core.resources": _RESOURCES,
    "flowyml.core.step": {"Step": Step, "step": _step},
    "flowyml.core.versioning": {"VersionedPipeline": _Pipeline},
}


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _MODULES:
            # All are packages, so that Python asks this finder for names that they do not define.
            return ModuleSpec(fullname, cast("Loader", self), origin=_ORIGIN, is_package=True)
        if fullname.partition(".")[0] == "flowyml":
            raise _needs_flowyml(fullname)
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None: Python creates the module."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_MODULES[module.__name__])


class _PipelineFinder:
    """Finds FlowyML's module of pipelines, and makes their runs end a script."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PIPELINES_MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _PipelineLoader(fullname, spec.loader.path)
        return spec


class _PipelineLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        run = module.Pipeline.run

        @functools.wraps(run)
        def stop_or_run(self: Any, *args: Any, **kwargs: Any) -> Any:
            stop_while_loading()
            return run(self, *args, **kwargs)

        module.Pipeline.run = stop_or_run


def _needs_flowyml(name: str) -> ImportError:
    return ImportError(
        f"{name} requires FlowyML, which is not installed in this job; without it, a job has "
        "only @step, Step, @map_task, Pipeline, Context and the classes of flowyml.core.resources",
        name="flowyml",
    )
