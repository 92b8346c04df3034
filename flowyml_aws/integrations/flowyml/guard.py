"""No silent runs on this machine: where FlowyML falls back to it, an error instead.

FlowyML runs a pipeline on this machine where a stack's name is unknown, its orchestrator's type
is, or the orchestrator can't be made. It says at most a line in a log. With this package installed
two of its methods ask first.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from flowyml.core.orchestrator import LocalOrchestrator
from flowyml.core.pipeline import Pipeline

from flowyml_aws.core.errors import SettingsError

__all__ = ["UnknownStackError", "guard_local_runs"]


class UnknownStackError(SettingsError):
    """FlowyML is asked for a stack that it can't make, and would run on this machine instead."""


def guard_local_runs() -> None:
    """Let FlowyML ask before it runs a pipeline on this machine."""
    resolve, run = Pipeline._resolve_stack_arg, LocalOrchestrator.run_pipeline

    @functools.wraps(resolve)
    def resolve_or_refuse(self: Any, stack: Any, env: str | None = None) -> Any:
        found = resolve(self, stack, env)
        if found is None and isinstance(stack, str) and stack != "local":
            raise _unknown(stack, "the argument stack=")
        if found is None and stack is None and env is not None and not _is_local(env):
            raise UnknownStackError(
                what=f"FlowyML has no stack for the environment {env!r}",
                why="it would run the pipeline on this machine instead",
                fix="correct the argument env=, or `environments` in flowyml.yaml",
            )
        return found

    @functools.wraps(run)
    def run_or_refuse(self: Any, pipeline: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_fallback(self, pipeline)
        return run(self, pipeline, *args, **kwargs)

    Pipeline._resolve_stack_arg = resolve_or_refuse
    LocalOrchestrator.run_pipeline = run_or_refuse


def refuse_fallback(orchestrator: Any, pipeline: Any) -> None:
    """Called before FlowyML runs a pipeline on this machine.

    Raises:
        UnknownStackError: The active stack of flowyml.yaml asks for another place.
    """
    from flowyml.plugins.stack_config import get_stack_manager

    manager = get_stack_manager()
    if pipeline.stack is None:
        name = os.environ.get("FLOWYML_STACK") or manager.active_stack_name
        if name is None or name == "local":
            return
        if manager.get_stack(name) is None:
            where = "FLOWYML_STACK" if os.environ.get("FLOWYML_STACK") else "`active_stack`"
            raise _unknown(name, where)
    else:
        name = pipeline.stack.name
        if pipeline.stack.orchestrator is not orchestrator or manager.get_stack(name) is None:
            return  # somebody has chosen this orchestrator in Python
    told = manager.get_stack(name).orchestrator or {}
    wanted = told.get("type", "local") if isinstance(told, Mapping) else told
    if wanted == "local":
        return
    from flowyml.stacks.plugins import get_component_registry

    known = sorted(get_component_registry().list_orchestrators())
    raise UnknownStackError(
        what=f"FlowyML can't make the orchestrator {wanted!r} of stack {name!r}",
        why="it would run the pipeline on this machine instead; it knows the types "
        f"{', '.join(known)}",
        fix="correct `type` or what stands beside it in flowyml.yaml",
    )


def _unknown(stack: str, where: str) -> UnknownStackError:
    from flowyml.plugins.stack_config import get_stack_manager

    known = get_stack_manager().list_stacks()
    return UnknownStackError(
        what=f"FlowyML can't make a stack {stack!r}",
        why="it would run the pipeline on this machine instead; flowyml.yaml has "
        f"{', '.join(known) or 'no stacks, or there is none here'}",
        fix=f"correct {where}, or flowyml.yaml",
    )


def _is_local(env: str) -> bool:
    from flowyml.stacks.enterprise.exceptions import StackValidationError
    from flowyml.stacks.enterprise.project_config import load_project_config

    try:
        config = load_project_config()
    except StackValidationError:  # it says so itself where it is asked for its environments
        return False
    found = config.environments.get(env) if config is not None else None
    return found is not None and found.stack == "local"
