"""Values from the command line: the pipeline of a file, and the options of a run."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from flowyml_aws.cli.context import context_values
from flowyml_aws.cli.sweeps import read_sweeps
from flowyml_aws.client.options import RunKeywords
from flowyml_aws.core.errors import (
    FlowymlError,
    PipelineFileError,
    SettingsError,
)
from flowyml_aws.core.folders import project_root
from flowyml_aws.core.loading import importing
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.spot import SpotRule
from flowyml_aws.core.termination import Terminated
from flowyml_aws.pipeline import Pipeline
from flowyml_aws.planning.placement import REST
from flowyml_aws.scripts import Script, enter_main

__all__ = ["load_pipeline", "run_options"]


def load_pipeline(spelling: str) -> Pipeline:
    """Return the pipeline of `FILE` or `FILE:NAME`.

    `NAME` is a variable of the file, or a function without parameters that returns a pipeline.
    The file is executed as a script, or, in a folder with `__init__.py`, as a module of its package
    (`python -m`), but without the code below `if __name__ == "__main__":`, and up to the first run
    that it reaches. It can import modules of its own folder and of the project's folder `src`.

    Raises:
        PipelineFileError: The file does not exist, cannot be imported or has no such pipeline, or
            it has several and none is named.
    """
    file, colon, name = spelling.rpartition(":")
    path = Path(file if colon else spelling)
    if not path.is_file() or path.suffix != ".py":
        raise PipelineFileError(
            what=f"{'Not a Python file' if path.exists() else 'File not found'}: {path}",
            why="a pipeline is read from a .py file",
            fix="write FILE.py or FILE.py:NAME",
        )
    module = _import(path.resolve())
    return _named(module, path, name) if colon else _only(module, path)


def _import(path: Path) -> ModuleType:
    """Execute a file as the script of this process, up to its first run."""
    root = project_root(path.parent)
    top = path.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    package = ".".join(path.parent.relative_to(top).parts) or None
    script = Script(path.relative_to(root).as_posix(), package)
    sys.path.insert(0, str(top))
    sys.path += [str(folder) for folder in (path.parent, root / "src") if folder.is_dir()]
    sys.modules.pop(script.module, None)
    enter_main(root, script)
    with _user_code(path, "can't be imported"):
        return importlib.import_module(script.module)


@contextmanager
def _user_code(path: Path, failure: str) -> Iterator[None]:
    """Translate errors of the user's code, and print its output to standard error."""
    try:
        with importing(str(path)), redirect_stdout(sys.stderr):
            yield
    except (FlowymlError, KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:  # whatever the user's file raises
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
        line = lines[-1] if lines else getattr(error, "lineno", None)
        location = "" if line is None else f"line {line}: "
        raise PipelineFileError(
            what=f"{path} {failure}",
            why=f"{location}{type(error).__name__}: {error}",
            fix="correct it; run the file with `python` to see the whole traceback",
        ) from error


def _named(module: ModuleType, path: Path, name: str) -> Pipeline:
    value: Any = getattr(module, name, None)
    if callable(value) and not isinstance(value, type):
        with _user_code(path.resolve(), f"fails in {name}()"):
            value = value()
    pipeline = _pipeline(value)
    if pipeline is None:
        known = _pipelines(module)
        raise PipelineFileError(
            what=f"{path} has no pipeline {name!r}",
            why=f"its pipelines are {', '.join(known) or '(none)'}",
            fix=did_you_mean(name, known, "name one of them, or a function that returns one"),
        )
    return pipeline


def _only(module: ModuleType, path: Path) -> Pipeline:
    pipelines = _outermost(_pipelines(module))
    if len({id(pipeline) for pipeline in pipelines.values()}) == 1:
        return next(iter(pipelines.values()))
    if not pipelines:
        raise PipelineFileError(
            what=f"{path} has no pipeline",
            why="none of its variables is a Pipeline",
            fix=f"write pipeline = Pipeline(…) at top level, or name a function: {path}:make",
        )
    raise PipelineFileError(
        what=f"{path} has {len(pipelines)} pipelines",
        why=f"they are {', '.join(pipelines)}",
        fix=f"name one: {path}:{next(iter(pipelines))}",
    )


def _pipelines(module: ModuleType) -> dict[str, Pipeline]:
    return {
        name: pipeline
        for name, value in vars(module).items()
        if (pipeline := _pipeline(value)) is not None
    }


def _outermost(pipelines: dict[str, Pipeline]) -> dict[str, Pipeline]:
    """Return the pipelines without those that others of them contain."""
    contained = {id(sub.pipeline) for each in pipelines.values() for sub in each.sub_pipelines}
    outermost = {name: each for name, each in pipelines.items() if id(each) not in contained}
    return outermost or pipelines  # two that contain each other are reported when they are built


def _pipeline(value: Any) -> Pipeline | None:
    return value if isinstance(value, Pipeline) else None


def run_options(
    backend: Sequence[str] | None,
    context: Sequence[str] | None,
    context_file: Path | None,
    env: Sequence[str] | None,
    no_cache: bool,
    refresh: Sequence[str] | None,
    max_price_usd_hour: float | None,
    max_cost_usd: float | None,
    checkpoint_steps: bool,
    spot: str | None,
    sweep: Sequence[str] | None,
    stop_idle_gpu: str | None,
    notify: Sequence[str] | None = None,
) -> RunKeywords:
    """Return the options of a plan or run from those of the command line.

    Raises:
        SettingsError: An option is malformed.
    """
    options: RunKeywords = {
        "backend": _placement(backend) if backend else None,
        "context": context_values(context or (), context_file),
        "env": _variables(env) if env else None,
        "refresh": refresh or (),
        "max_price_usd_hour": max_price_usd_hour,
        "max_cost_usd": max_cost_usd,
        "checkpoint_steps": checkpoint_steps,
        "spot": cast("SpotRule | None", spot),
        "sweep": read_sweeps(sweep or ()),
        "stop_idle_gpu": stop_idle_gpu,
        "notify": notify or None,
    }
    if no_cache:
        options["cache"] = False
    return options


def _variables(pairs: Sequence[str]) -> dict[str, str]:
    """Parse `NAME=VALUE` pairs; every value is a string."""
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(
                what=f"Invalid --env {pair!r}: expected NAME=VALUE",
                why="the values of this machine's variables are not copied",
                fix=f"write for example --env {name}=9",
            )
        values[name] = text
    return values


def _placement(specs: Sequence[str]) -> dict[str, str]:
    """Parse `BACKEND` and `GROUP=BACKEND` into a mapping of groups to services."""
    services: dict[str, str] = {}
    for spec in specs:
        group, _, service = spec.rpartition("=")
        if (group or REST) in services:
            raise SettingsError(
                what=f"--backend {spec!r} contradicts {services[group or REST]!r}",
                why=f"{f'group {group!r}' if group else 'every other group'} has one backend",
                fix="write one of them; for a single group write --backend GROUP=BACKEND",
            )
        services[group or REST] = service
    return services
