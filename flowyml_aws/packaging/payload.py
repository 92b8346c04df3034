"""Steps as bytes: by reference where the job can import them, by value where it cannot.

Functions of the script itself (`__main__`), of notebook cells, closures and lambdas go by value;
those of modules in the bundle or of installed packages go by reference.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle

from flowyml_aws.core.errors import FlowymlError, UnpicklableStepError
from flowyml_aws.core.step import Step
from flowyml_aws.packaging.project import Project, is_installed
from flowyml_aws.runtime.code import Payload, step_function

__all__ = ["StepPayload", "laptop_only_modules", "make_payload"]


class StepPayload:
    """Pickled steps, with their digest."""

    __slots__ = ("data", "sha256")

    def __init__(self, data: bytes) -> None:
        self.data, self.sha256 = data, hashlib.sha256(data).hexdigest()


def make_payload(steps: Sequence[Step], context: Mapping[str, Any]) -> StepPayload:
    """Pickle the steps of one job together, so that they share the globals of their script.

    Raises:
        UnpicklableStepError: Naming the step and the variable that cannot travel.
    """
    payload = Payload({step.name: step for step in steps}, context, _sources(steps))
    try:
        return StepPayload(_dumps(payload))
    except Exception as error:  # a pickle error has any class: whatever `__reduce__` raises
        raise _explained(steps, context, error) from error


def laptop_only_modules(steps: Sequence[Step], project: Project) -> list[FlowymlError]:
    """An error for each module that the steps use and that no job can have.

    That is one whose file lies neither in the project nor in an installed package: an editable
    install of another project, or a folder that only this machine's `sys.path` names.
    """
    found: dict[str, FlowymlError] = {}
    seen: set[str] = set()
    waiting = [(step.name, namespace) for step in steps for namespace in _namespaces(step)]
    while waiting:
        user, namespace = waiting.pop()
        for module in _modules_in(namespace):
            name = module.__name__
            file = getattr(module, "__file__", None)
            if name in seen or not file or name.partition(".")[0] == "flowyml_aws":
                continue
            seen.add(name)
            path = Path(file).resolve()
            if project.has(path):
                waiting.append((user, vars(module)))
            elif not is_installed(path):
                found[name] = UnpicklableStepError(
                    what=f"Step {user!r} uses module {name!r}, which no job will have",
                    why=f"it lies at {path}: neither in the project {project.root} nor installed",
                    fix=f"add include={path.parent.as_posix()!r} to the settings, or install it "
                    "in the image",
                )
    return list(found.values())


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    def reducer_override(self, obj: Any) -> Any:
        # `@step` replaced the function in its module by the Step, so pickle would not find it.
        if isinstance(obj, FunctionType) and _is_behind_step(obj):
            return step_function, (obj.__module__, obj.__qualname__)
        return super().reducer_override(obj)


def _dumps(value: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(value)
    return buffer.getvalue()


def _is_behind_step(function: FunctionType) -> bool:
    module = sys.modules.get(function.__module__)
    if module is None or function.__module__ == "__main__" or "<" in function.__qualname__:
        return False
    found: Any = module
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return isinstance(found, Step) and found.func is function


def _functions(step: Step) -> Iterator[FunctionType]:
    for function in (step.func, step.condition):
        unwrapped = inspect.unwrap(function) if function is not None else None
        if isinstance(unwrapped, FunctionType):
            yield unwrapped


def _sources(steps: Sequence[Step]) -> dict[str, str]:
    """Text of the files that functions come from that go by value."""
    names = {
        function.__code__.co_filename
        for step in steps
        for function in _functions(step)
        if not _is_behind_step(function)
    }
    return {name: text for name in sorted(names) if (text := "".join(linecache.getlines(name)))}


def _namespaces(step: Step) -> Iterator[Mapping[str, Any]]:
    for function in _functions(step):
        used = _names_used(function.__code__)
        yield {name: function.__globals__[name] for name in used & function.__globals__.keys()}
        module = sys.modules.get(function.__module__)
        yield {function.__module__: module} if module else {}


def _names_used(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names_used, inner))


def _modules_in(namespace: Mapping[str, Any]) -> Iterator[ModuleType]:
    for value in list(namespace.values()):
        if isinstance(value, ModuleType):
            yield value
        elif isinstance(name := getattr(value, "__module__", None), str) and name in sys.modules:
            yield sys.modules[name]


def _explained(
    steps: Sequence[Step], context: Mapping[str, Any], error: Exception
) -> UnpicklableStepError:
    for name, value in context.items():
        if not _picklable(value):
            return _unpicklable("The context", f"{name!r}", value, error)
    for step in steps:
        for function in _functions(step):
            variables = inspect.getclosurevars(function)
            for name, value in {**variables.globals, **variables.nonlocals}.items():
                if not _picklable(value):
                    return _unpicklable(f"Step {step.name!r}", f"variable {name!r}", value, error)
            defaults = inspect.signature(function).parameters.values()
            for parameter in defaults:
                if parameter.default is not parameter.empty and not _picklable(parameter.default):
                    where = f"the default of {parameter.name!r}"
                    return _unpicklable(f"Step {step.name!r}", where, parameter.default, error)
    names = ", ".join(repr(step.name) for step in steps)
    return UnpicklableStepError(
        what=f"Steps {names} can't travel to a job",
        why=f"pickling them raised {type(error).__name__}: {error}",
        fix="create such objects inside the step, or import them from a module",
    )


def _unpicklable(whose: str, what: str, value: Any, error: Exception) -> UnpicklableStepError:
    return UnpicklableStepError(
        what=f"{whose} can't travel to a job: {what} is a {type(value).__qualname__}",
        why=f"pickling it raised {type(error).__name__}: {error}",
        fix="create it inside the step, or pass what it is made from (a path, a URL)",
    )


def _picklable(value: Any) -> bool:
    try:
        _dumps(value)
    except Exception:  # as above: pickling raises anything
        return False
    return True
