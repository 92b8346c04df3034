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
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from flowyml_aws.core.context import Context
from flowyml_aws.core.loading import stop_while_loading
from flowyml_aws.core.resources import GPUConfig, NodeAffinity, ResourceRequirements
from flowyml_aws.core.step import Step

if TYPE_CHECKING:
    from importlib.abc import Loader

__all__ = ["prepare_flowyml", "stand_in_for_flowyml", "stop_flowyml_runs"]


def stand_in_for_flowyml() -> None:
    """Make the stand-in importable if FlowyML is not installed."""
    if importlib.util.find_spec("flowyml") is None:
        sys.meta_path.append(_Finder())  # last: a real module of the same name has precedence


def prepare_flowyml() -> None:
    """Prepare a job, or a process that its steps start, for a program that imports FlowyML."""
    stand_in_for_flowyml()
    stop_flowyml_runs()


def stop_flowyml_runs() -> None:
    """End a script that is executed for its definitions at a run of FlowyML's own pipeline, too."""
    sys.meta_path.insert(0, _PipelineFinder())


def _step(_func: Callable[..., Any] | None = None, **options: Any) -> Any:
    def decorate(func: Callable[..., Any]) -> Step:
        return Step(
            func=func,
            name=options.get("name") or func.__name__,
            inputs=tuple(options.get("inputs") or ()),
            outputs=tuple(options.get("outputs") or ()),
        )

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
_PIPELINES = {"Pipeline": _Pipeline, "VersionedPipeline": _Pipeline}
_PIPELINES_MODULE = "flowyml.core.pipeline"
_MODULES: Mapping[str, Mapping[str, Any]] = {
    "flowyml": {**_CORE, **_PIPELINES},
    "flowyml.core": {**_CORE, **_RESOURCES},
    "flowyml.core.context": {"Context": Context, "context": Context},
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
            return ModuleSpec(
                fullname, cast("Loader", self), origin="FlowyML's stand-in", is_package=True
            )
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
        "only @step, Pipeline, Context and the classes of flowyml.core.resources",
        name="flowyml",
    )
