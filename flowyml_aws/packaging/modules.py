"""Modules that the steps use but that jobs can't import."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from flowyml_aws.code.bytecode import bytecode_references
from flowyml_aws.core.errors import FlowymlError, UnpicklableStepError
from flowyml_aws.core.modules import find_module_file, is_installed
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_objects import unwrap_step
from flowyml_aws.packaging.pickling import functions_of, variables_of
from flowyml_aws.packaging.project import Project

__all__ = ["client_only_modules", "functions_used", "modules_in", "modules_of"]


def client_only_modules(
    steps: Sequence[Step], project: Project, files: Iterable[Path] | None = None
) -> list[FlowymlError]:
    """Return an error for each module that the steps use but that jobs can't import.

    The file of such a module is neither in the bundle nor part of an installed package: git
    ignores it, it is an editable install of another project, or only this machine's `sys.path`
    contains its folder. Modules in the bundle are searched for the modules that they use in turn.

    Args:
        steps: Steps to check.
        project: Project of the steps.
        files: Files in the bundle; by default, the whole project.
    """
    bundled = None if files is None else {path.resolve() for path in files}
    errors: list[FlowymlError] = []
    seen = {"__main__"}
    waiting = [(step.name, module) for step in steps for module in modules_of(step)]
    while waiting:
        user, module = waiting.pop()
        name, file = module.__name__, getattr(module, "__file__", None)
        if name in seen or not file or name.partition(".")[0] == "flowyml_aws":
            continue
        seen.add(name)
        path = Path(file).resolve()
        if project.has(path) if bundled is None else path in bundled:
            waiting += ((user, other) for other in modules_in(vars(module)))
        elif not is_installed(path):
            errors.append(_client_only_error(user, name, path, project))
    return errors


def _client_only_error(user: str, name: str, path: Path, project: Project) -> UnpicklableStepError:
    # `include` adds a path at the top level, so it must name the top folder of the package.
    depth = name.count(".") + (path.name == "__init__.py")
    top = path.parents[depth - 1] if depth else path
    why = f"{path} is neither in the project {project.root} nor in an installed package"
    if project.has(path):
        top = top.relative_to(project.root)
        why = f"{path} is not in the bundle: git or .flowymlignore ignores it"
    return UnpicklableStepError(
        what=f"Step {user!r} uses module {name!r}, which jobs can't import",
        why=why,
        fix=f"add {top.as_posix()!r} to the setting `include`, or install it in the image",
    )


def modules_of(step: Step) -> Iterator[ModuleType]:
    """Yield the modules that a step uses, with those of its helper functions."""
    for function in functions_used(step):
        yield from modules_in({"its own": function, **variables_of(function)})
        # In a package, the name may be a relative import, so it is not checked.
        if not function.__globals__.get("__package__"):
            yield from filter(None, map(_module, _imported_inside(function.__code__)))


def functions_used(step: Step) -> Iterator[FunctionType]:
    """Yield the function and the condition of a step, and the functions that they use in turn."""
    seen: set[int] = set()
    waiting = list(functions_of(step))
    while waiting:
        function = waiting.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        yield function
        inner = map(unwrap_step, variables_of(function).values())
        waiting += (value for value in inner if isinstance(value, FunctionType))


def modules_in(namespace: Mapping[str, Any]) -> Iterator[ModuleType]:
    """Yield the modules in a namespace, and those that define its values."""
    for value in list(namespace.values()):
        if isinstance(value, ModuleType):
            yield value
            continue
        # For other objects, check only the class: reading attributes may run code (proxies).
        owner = value if isinstance(value, (type, FunctionType)) else type(value)
        module = sys.modules.get(str(owner.__module__))
        # Objects defined inside a function are pickled by value, without their module.
        if module is not None and "<" not in owner.__qualname__:
            yield module


def _imported_inside(code: CodeType) -> Collection[str]:
    """Return the top-level names of the modules that a function imports."""
    return {statement.module.partition(".")[0] for statement in bytecode_references(code).imports}


def _module(name: str) -> ModuleType | None:
    """Return a module, or a placeholder for a module of the user that is not imported yet."""
    if name in sys.modules:
        return sys.modules[name]
    if (file := find_module_file(name)) is None:
        return None
    module = ModuleType(name)
    module.__file__ = str(file)
    return module
