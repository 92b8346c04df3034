"""A program that is `python ARGUMENTS`, for the forks of a process that has imported a client."""

from __future__ import annotations

import builtins
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from flowyml_aws import scripts
from flowyml_aws.warm.command_line import show_command

__all__ = ["can_be_warm"]


def can_be_warm(arguments: Sequence[str]) -> bool:
    """Return whether Python's arguments are a program with its arguments, without options."""
    return not arguments or arguments[0] in ("-c", "-m", "-") or not arguments[0].startswith("-")


def _main(arguments: Sequence[str]) -> None:
    sys.orig_argv = [sys.executable, *arguments]
    show_command(sys.orig_argv)
    for name in [*sys.modules]:
        if name.partition(".")[0] == "tests":  # modules of users, like this one
            del sys.modules[name]
    main = sys.modules["__main__"] = ModuleType("__main__")
    vars(main).update(__annotations__={}, __builtins__=builtins, __loader__=BuiltinImporter)
    try:
        code = _enter(arguments, main)
        # As when this package is imported: the project, and the script as a module.
        scripts._state = scripts._State()
        scripts._alias_main()
        exec(code, vars(main))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        # Without the frame of this function, and those of its callers.
        traceback = error.__traceback__.tb_next if error.__traceback__ else None
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        sys.exit(1)


def _enter(arguments: Sequence[str], main: ModuleType) -> CodeType:
    """Prepare `sys` and `__main__` for a program, and return its code."""
    first = arguments[0] if arguments else "-"
    names = vars(main)
    sys.argv = [*arguments] or [""]
    if first == "-m":
        _, spec, code = runpy._get_module_details(arguments[1])  # type: ignore[attr-defined]
        assert isinstance(spec, ModuleSpec)
        sys.argv = [str(spec.origin), *arguments[2:]]
        names.update(__file__=spec.origin, __cached__=spec.cached, __loader__=spec.loader)
        names.update(__package__=spec.parent, __spec__=spec)
        assert isinstance(code, CodeType)
        return code
    if first == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        return compile(arguments[1], "<string>", "exec", dont_inherit=True)
    if first == "-":
        sys.path[0] = ""
        names.update(__file__="<stdin>", __cached__=None)
        return compile(sys.stdin.read(), "<stdin>", "exec", dont_inherit=True)
    sys.path[0] = str(Path(first).resolve().parent)
    file = str(Path.cwd() / first)
    names.update(__file__=file, __cached__=None, __loader__=SourceFileLoader("__main__", file))
    return compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
