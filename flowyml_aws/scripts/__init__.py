"""Scripts as modules: `flowyml_aws.scripts.<path>` is the script at a path of the project.

Python names the script that it runs `__main__`, which is another file in each process. Jobs, the
processes that their steps start, and stored values name a script by its path instead: the script
`tools/train.py` is the module `flowyml_aws.scripts.tools/train`. In the process that runs it, this
is `__main__` itself. In any other process, the file is executed under this name, so that code
below `if __name__ == "__main__":` does not run, and ends at the first run of a pipeline that it
reaches.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from flowyml_aws.core.errors import PipelineFileError
from flowyml_aws.core.folders import project_root
from flowyml_aws.core.loading import executing_script
from flowyml_aws.core.modules import SCRIPTS, is_installed
from flowyml_aws.core.step_objects import unwrap_step

if TYPE_CHECKING:
    from importlib.abc import Loader

__all__ = [
    "PROGRAM_VARIABLE",
    "MainSpec",
    "MissingScriptError",
    "Script",
    "enter_main",
    "hidden_main",
    "main_script",
    "resolve",
    "script_path",
    "stable_name",
]

PROGRAM_VARIABLE = "FLOWYML_PROGRAM"
"""Environment variable of a job for the processes that its steps start (see `runtime.child`)."""

_CHILD = "flowyml_aws.runtime.child"
_is_hidden: ContextVar[bool] = ContextVar("flowyml_aws_is_hidden", default=False)


@dataclass(frozen=True, slots=True)
class Script:
    """A script of a project.

    Attributes:
        path: Path relative to the project's root, with `/`.
        package: Package of a module that `python -m` runs; None for a file.
    """

    path: str
    package: str | None = None

    @property
    def module(self) -> str:
        """Name of the script as a module."""
        # A dot would separate packages; all other characters are possible in names of modules.
        return SCRIPTS + self.path.removesuffix(".py").replace("%", "%25").replace(".", "%2E")


def script_path(module: str) -> str | None:
    """Return the path of a script from its name as a module; None for the names of others."""
    return f"{unquote(module.removeprefix(SCRIPTS))}.py" if module.startswith(SCRIPTS) else None


class MissingScriptError(PipelineFileError):
    """A script is required to read a value, but the project does not contain it."""


class _State:
    """The scripts of this process.

    Attributes:
        root: Root of the project that contains the scripts.
        main: Script that is executed as this process's main module, or None.
        read: Returns the source of a script, if it is not read from its file.
        given: Values of names of the main script, instead of those that it assigns.
        after: Called after the main script was executed.
    """

    def __init__(self) -> None:
        self.root = project_root(Path.cwd().resolve())
        self.main: Script | None = None
        self.read: Callable[[Path], bytes | None] = lambda _: None
        self.given: Mapping[str, Any] = {}
        self.after: Callable[[], None] = lambda: None


def main_script() -> tuple[Path, Script] | None:
    """Return the script that Python runs in this process, and the root of its project.

    None if there is none, or if it is not the user's: a notebook, a prompt, an installed program.
    """
    if _is_hidden.get():
        return None
    if _state.main is not None:
        return _state.root, _state.main
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if not isinstance(file, str) or not file.endswith(".py"):
        return None
    package = spec.parent if isinstance(spec, ModuleSpec) else None
    return _script_at(os.path.abspath(file), package)  # noqa: PTH100  called for each name


@lru_cache
def _script_at(file: str, package: str | None) -> tuple[Path, Script] | None:
    path = Path(file).resolve()
    if not path.is_file() or is_installed(path) or path.is_relative_to(_PACKAGE):
        return None
    root = project_root(path.parent)
    link = Path(file).parent.resolve() / Path(file).name
    if project_root(link.parent) == root:  # `__file__` is the link
        path = link
    return root, Script(path.relative_to(root).as_posix(), package)


@contextmanager
def hidden_main() -> Iterator[None]:
    """Treat `__main__` as a notebook or prompt: its script is not in the project of the steps."""
    token = _is_hidden.set(True)
    try:
        yield
    finally:
        _is_hidden.reset(token)


def stable_name(module: str) -> str:
    """Return a name of a module that means the same in other processes."""
    if module != "__main__":
        return module
    found = main_script()
    return module if found is None else found[1].module


def resolve(module: str, name: str) -> Any:
    """Return a function or class by its name, as payloads and stored values refer to it."""
    value: Any = importlib.import_module(module)
    for attribute in name.split("."):
        value = getattr(unwrap_step(value), attribute)
    return value


def without_assignments(source: bytes, names: Collection[str]) -> ast.Module:
    """Return a script without the statements of its top level that only assign some names."""
    tree = ast.parse(source)
    tree.body = [statement for statement in tree.body if not _only_assigns(statement, names)]
    return tree


def _only_assigns(statement: ast.stmt, names: Collection[str]) -> bool:
    match statement:
        case ast.Assign(targets=targets):
            assigned = targets
        case ast.AnnAssign(target=target):
            assigned = [target]
        case _:
            return False
    return all(isinstance(target, ast.Name) and target.id in names for target in assigned)


def enter_main(
    root: Path,
    script: Script,
    read: Callable[[Path], bytes | None] = lambda _: None,
    given: Mapping[str, Any] | None = None,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Declare the main script of this process, which replaces `__main__` when it is imported.

    Args:
        root: Root of the project in this process.
        script: The script.
        read: Returns the source of a script's path, or None if it is read from its file.
        given: Values of names, which the script's top level does not assign then.
        after: Called after the script was executed.
    """
    _state.root, _state.main, _state.read = root, script, read
    _state.given, _state.after = given or {}, after


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        relative = script_path(fullname)
        if relative is None:
            return None
        if _state.main is None and PROGRAM_VARIABLE in os.environ:
            # By name: a process that a step starts needs the runtime, which is above this package.
            importlib.import_module(_CHILD).load_program()
            if fullname in sys.modules:
                return _spec_of_loaded(sys.modules[fullname], fullname)
        file = _state.root / relative
        if ".." in Path(relative).parts or not (file.is_file() or _state.read(file) is not None):
            raise MissingScriptError(
                what=f"The script {relative} is required, which project {_state.root} lacks",
                why="a value or a payload refers to its classes or functions",
                fix="run this in the project of the script; after the script was renamed or moved, "
                "run its pipeline again",
            )
        is_main = _state.main is not None and _state.main.module == fullname
        return ModuleSpec(fullname, _Loader(fullname, file, is_main), origin=str(file))


class _Loader(SourceFileLoader):
    """Executes a script under another name than `__main__`."""

    def __init__(self, fullname: str, file: Path, is_main: bool) -> None:
        super().__init__(fullname, str(file))
        self._is_main = is_main

    def get_code(self, fullname: str) -> CodeType:
        # Not from or into a cache: Python does not cache the code of scripts, either.
        source: Any = self.get_data(self.path)
        if self._is_main and _state.given:
            source = without_assignments(source, _state.given)
        return compile(source, self.path, "exec", dont_inherit=True)

    def get_data(self, path: str) -> bytes:
        data = _state.read(Path(path))
        return super().get_data(path) if data is None else data

    def exec_module(self, module: ModuleType) -> None:
        names = vars(module)
        names.pop("__cached__", None)
        names["__file__"] = self.path
        names["__package__"] = None
        if self._is_main and _state.main is not None:
            names["__package__"] = _state.main.package
            names["__spec__"] = MainSpec(_state.main.package)
            names.update(_state.given)
            sys.modules["__main__"] = module
        code = self.get_code(module.__name__)
        # The output of a script that is only needed for its classes is not that of the program.
        output = nullcontext() if self._is_main else redirect_stdout(sys.stderr)
        with executing_script(self._is_main), output:
            exec(code, names)  # noqa: S102 - the user's script
        if self._is_main:
            _state.after()


def _spec_of_loaded(module: ModuleType, name: str) -> ModuleSpec:
    """Return a spec that loads nothing, for a script that was executed while Python looked for it.

    Python uses the spec of a module that exists, which must have a loader.
    """
    spec = ModuleSpec(name, cast("Loader", _Loaded(module)))
    module.__spec__ = spec
    return spec


class _Loaded:
    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class MainSpec(ModuleSpec):
    """The spec of `__main__` in a job.

    The processes of a pool import its module instead of executing the script once more. Relative
    imports in a step resolve as in a module of the script's package.

    Args:
        package: Package of the module that `python -m` runs; None for a file.
    """

    def __init__(self, package: str | None) -> None:
        super().__init__(_CHILD, None)
        self._package = package or ""

    @property
    def parent(self) -> str:
        return self._package


def _alias_main() -> None:
    """Let the script that Python runs in this process be the module with its path as name."""
    found = main_script()
    if found is not None:
        _state.root, script = found
        sys.modules[script.module] = sys.modules["__main__"]


_PACKAGE = Path(__file__).resolve().parents[1]
_state = _State()
sys.meta_path.append(_Finder())
# Also in a process that a step starts: a script that it runs is not the program of the job.
_alias_main()
