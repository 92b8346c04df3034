"""What a command line says, as values: the pipeline of a file, and parameters."""

from __future__ import annotations

import difflib
import importlib.util
import json
import sys
import traceback
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from flowyml_aws.core.errors import (
    FlowymlError,
    InvalidPipelineError,
    PipelineFileError,
    SettingsError,
)
from flowyml_aws.core.importing import importing
from flowyml_aws.core.parameters import context_names
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.pipeline import Pipeline
from flowyml_aws.planning.placement import REST
from flowyml_aws.versioning import VersionedPipeline

__all__ = ["load_pipeline", "parameters", "placement"]


def load_pipeline(spelling: str) -> Pipeline:
    """The pipeline of `FILE` or `FILE:NAME`.

    `NAME` is a variable of the file, or a function without parameters that returns a pipeline.
    The file is imported as a module beside its neighbours, as Python runs a script.

    Raises:
        PipelineFileError: The file is missing, does not import, or has no such pipeline, or
            several.
    """
    file, colon, name = spelling.rpartition(":")
    path = Path(file if colon else spelling)
    if not path.is_file() or path.suffix != ".py":
        raise PipelineFileError(
            what=f"{path} is no Python file",
            why="it does not exist" if not path.exists() else "a pipeline is read from a .py file",
            fix="write FILE.py or FILE.py:NAME",
        )
    module = _import(path.resolve())
    return _named(module, path, name) if colon else _only(module, path)


def _import(path: Path) -> ModuleType:
    name = path.stem
    if not name.isidentifier() or name in sys.stdlib_module_names:
        raise PipelineFileError(
            what=f"{path} can't be imported under its name",
            why=f"jobs import it as {name!r}, "
            + ("which is a module of Python itself" if name.isidentifier() else "which is no name"),
            fix="rename the file, to letters, digits and underscores",
        )
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _running(path, "does not import"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _running(path: Path, failing: str) -> Iterator[None]:
    """Run the user's code for what it defines; what it prints is no part of our output."""
    try:
        with importing(str(path)), redirect_stdout(sys.stderr):
            yield
    except FlowymlError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
        line = lines[-1] if lines else getattr(error, "lineno", None)
        place = "" if line is None else f"line {line}: "
        raise PipelineFileError(
            what=f"{path} {failing}",
            why=f"{place}{type(error).__name__}: {error}",
            fix="correct it; `python` on the file shows the whole traceback",
        ) from error


def _named(module: ModuleType, path: Path, name: str) -> Pipeline:
    found: Any = getattr(module, name, None)
    if callable(found) and not isinstance(found, type):
        with _running(path.resolve(), f"fails in {name}()"):
            found = found()
    pipeline = _pipeline(found)
    if pipeline is None:
        known = _pipelines(module)
        raise PipelineFileError(
            what=f"{path} has no pipeline {name!r}",
            why=f"its pipelines are {', '.join(known) or '(none)'}",
            fix=did_you_mean(name, known, "name one of them, or a function that returns one"),
        )
    return pipeline


def _only(module: ModuleType, path: Path) -> Pipeline:
    found = _pipelines(module)
    if len({id(pipeline) for pipeline in found.values()}) == 1:
        return next(iter(found.values()))
    if not found:
        raise PipelineFileError(
            what=f"{path} has no pipeline",
            why="none of its variables is a Pipeline",
            fix=f"write pipeline = Pipeline(…) at top level, or name a function: {path}:make",
        )
    raise PipelineFileError(
        what=f"{path} has {len(found)} pipelines",
        why=f"they are {', '.join(found)}",
        fix=f"name one: {path}:{next(iter(found))}",
    )


def _pipelines(module: ModuleType) -> dict[str, Pipeline]:
    return {
        name: pipeline
        for name, value in vars(module).items()
        if (pipeline := _pipeline(value)) is not None
    }


def _pipeline(value: Any) -> Pipeline | None:
    if isinstance(value, VersionedPipeline):
        return value.pipeline
    return value if isinstance(value, Pipeline) else None


def parameters(given: Sequence[str], pipeline: Pipeline) -> dict[str, Any]:
    """Context values for a pipeline out of `NAME=VALUE`; a value is JSON, or else text.

    Raises:
        SettingsError: A text is no such pair, or no step takes the parameter.
        InvalidPipelineError: No step takes it, and the pipeline has other mistakes, too.
    """
    values: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise SettingsError(
                what=f"--context {pair!r} is no parameter",
                why="a parameter is NAME=VALUE, and the name is that of a step's parameter",
                fix="write for example --context epochs=10",
            )
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text  # not JSON: so it is the text itself
    if values:
        _check_context(pipeline, values)
    return values


def _check_context(pipeline: Pipeline, values: Collection[str]) -> None:
    known = pipeline.context.keys() | context_names(pipeline.steps)
    unknown = [name for name in values if name not in known]
    if not unknown:
        return
    near = [close for name in unknown for close in difflib.get_close_matches(name, known, n=1)]
    problem = SettingsError(
        what=f"No step of pipeline {pipeline.name!r} takes {', '.join(map(repr, unknown))}"
        + (f" (did you mean {', '.join(map(repr, near))}?)" if near else ""),
        why=f"its context can have {', '.join(sorted(known)) or 'nothing: all are inputs'}",
        fix="correct --context, or give the step a parameter of that name",
    )
    try:
        pipeline.build()
    except InvalidPipelineError as error:
        raise InvalidPipelineError(pipeline.name, [*error.problems, problem]) from None
    raise problem


def placement(given: Sequence[str] | None, default: str) -> dict[str, str]:
    """Where jobs run, as `Pipeline.run` takes it, out of `BACKEND` and `GROUP=BACKEND`.

    Raises:
        SettingsError: Two backends are named for the same groups.
    """
    found: dict[str, str] = {}
    for text in given or [default]:
        group, _, backend = text.rpartition("=")
        if (group or REST) in found:
            raise SettingsError(
                what=f"--backend {text!r} contradicts {found[group or REST]!r}",
                why=f"{f'group {group!r}' if group else 'what is not named'} has one backend",
                fix="write one of them; for a single group write --backend GROUP=BACKEND",
            )
        found[group or REST] = backend
    return found
