"""Modules that the steps use and that no job will have."""

from __future__ import annotations

import dis
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from flowyml_aws.core.errors import FlowymlError, UnpicklableStepError
from flowyml_aws.core.modules import find_module_file, is_installed
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_objects import unwrap_step
from flowyml_aws.packaging.pickling import functions_of, variables_of
from flowyml_aws.packaging.project import Project

__all__ = ["laptop_only_modules"]


def laptop_only_modules(
    steps: Sequence[Step], project: Project, files: Iterable[Path] | None = None
) -> list[FlowymlError]:
    """An error for each module that the steps use and that no job can have.

    That is one whose file neither travels with the code nor belongs to an installed package: one
    that git ignores, an editable install of another project, or one in a folder that only this
    machine's `sys.path` names. Modules that travel are searched for what they use in turn.

    Args:
        steps: The steps.
        project: Where they come from.
        files: What travels; without it, all of the project.
    """
    travelling = None if files is None else {path.resolve() for path in files}
    found: list[FlowymlError] = []
    seen = {"__main__"}
    waiting = [(step.name, module) for step in steps for module in _modules_of(step)]
    while waiting:
        user, module = waiting.pop()
        name, file = module.__name__, getattr(module, "__file__", None)
        if name in seen or not file or name.partition(".")[0] == "flowyml_aws":
            continue
        seen.add(name)
        path = Path(file).resolve()
        if project.has(path) if travelling is None else path in travelling:
            waiting += ((user, other) for other in _modules_in(vars(module)))
        elif not is_installed(path):
            found.append(_stays_here(user, name, path, project))
    return found


def _stays_here(user: str, name: str, path: Path, project: Project) -> UnpicklableStepError:
    # `include` puts what it names at the top: so it has to name the top of a package.
    depth = name.count(".") + (path.name == "__init__.py")
    top = path.parents[depth - 1] if depth else path
    why = f"it lies at {path}: neither in the project {project.root} nor installed"
    if project.has(path):
        top = top.relative_to(project.root)
        why = f"{path} does not travel with the code: git or .flowymlignore ignores it"
    return UnpicklableStepError(
        what=f"Step {user!r} uses module {name!r}, which no job will have",
        why=why,
        fix=f"add {top.as_posix()!r} to the setting `include`, or install it in the image",
    )


def _modules_of(step: Step) -> Iterator[ModuleType]:
    seen: set[int] = set()
    waiting = list(functions_of(step))
    while waiting:
        function = waiting.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        used = variables_of(function)
        yield from _modules_in({"its own": function, **used})
        # Relative imports name no module of their own: only a package has them.
        if not function.__globals__.get("__package__"):
            yield from filter(None, map(_module, _imported_inside(function.__code__)))
        inner = map(unwrap_step, used.values())
        waiting += (value for value in inner if isinstance(value, FunctionType))


def _modules_in(namespace: Mapping[str, Any]) -> Iterator[ModuleType]:
    for value in list(namespace.values()):
        if isinstance(value, ModuleType):
            yield value
            continue
        # Of other objects only the class is asked: an attribute may run code, as in a proxy.
        owner = value if isinstance(value, (type, FunctionType)) else type(value)
        module = sys.modules.get(str(owner.__module__))
        # What a function made travels by value: without its module.
        if module is not None and "<" not in owner.__qualname__:
            yield module


def _imported_inside(code: CodeType) -> Collection[str]:
    """Top-level names of the modules that `import` statements in a function name."""
    own = {
        str(instruction.argval).partition(".")[0]
        for instruction in dis.get_instructions(code)
        if instruction.opname == "IMPORT_NAME"
    }
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return own.union(*map(_imported_inside, inner))


def _module(name: str) -> ModuleType | None:
    """A module, or a stand-in for one of the user's that could be imported here."""
    if name in sys.modules:
        return sys.modules[name]
    if (file := find_module_file(name)) is None:
        return None
    module = ModuleType(name)
    module.__file__ = str(file)
    return module
