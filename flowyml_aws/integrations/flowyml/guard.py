"""Guard against silent local runs: an error where FlowyML would fall back to this machine.

FlowyML runs a pipeline on this machine if the name of the stack or the type of its orchestrator is
unknown, or if the orchestrator cannot be created. It writes one line to a log at most. With this
package installed, two of its methods check first.
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
    """FlowyML cannot create the requested stack, and would run the pipeline on this machine."""


def guard_local_runs() -> None:
    """Patch FlowyML to raise an error instead of falling back to this machine."""
    resolve, run = Pipeline._resolve_stack_arg, LocalOrchestrator.run_pipeline

    @functools.wraps(resolve)
    def resolve_or_refuse(self: Any, stack: Any, env: str | None = None) -> Any:
        resolved = resolve(self, stack, env)
        if resolved is None and isinstance(stack, str) and stack != "local":
            raise _unknown_stack(stack, "the argument stack=")
        if resolved is None and stack is None and env is not None and not _is_local(env):
            raise UnknownStackError(
                what=f"FlowyML has no stack for the environment {env!r}",
                why="it would run the pipeline on this machine instead",
                fix="correct the argument env=, or `environments` in flowyml.yaml",
            )
        return resolved

    @functools.wraps(run)
    def run_or_refuse(self: Any, pipeline: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_fallback(self, pipeline)
        return run(self, pipeline, *args, **kwargs)

    Pipeline._resolve_stack_arg = resolve_or_refuse
    LocalOrchestrator.run_pipeline = run_or_refuse


def refuse_fallback(orchestrator: Any, pipeline: Any) -> None:
    """Refuse a local run that the configuration did not ask for.

    Raises:
        UnknownStackError: The active stack of flowyml.yaml has another orchestrator.
    """
    from flowyml.plugins.stack_config import get_stack_manager

    manager = get_stack_manager()
    if pipeline.stack is None:
        name = os.environ.get("FLOWYML_STACK") or manager.active_stack_name
        if name is None or name == "local":
            return
        if manager.get_stack(name) is None:
            source = "FLOWYML_STACK" if os.environ.get("FLOWYML_STACK") else "`active_stack`"
            raise _unknown_stack(name, source)
    else:
        name = pipeline.stack.name
        if pipeline.stack.orchestrator is not orchestrator or manager.get_stack(name) is None:
            return  # this orchestrator was chosen in Python
    configured = manager.get_stack(name).orchestrator or {}
    kind = configured.get("type", "local") if isinstance(configured, Mapping) else configured
    if kind == "local":
        return
    from flowyml.stacks.plugins import get_component_registry

    known = sorted(get_component_registry().list_orchestrators())
    raise UnknownStackError(
        what=f"FlowyML cannot create the orchestrator {kind!r} of stack {name!r}",
        why="it would run the pipeline on this machine instead; the known types are "
        f"{', '.join(known)}",
        fix="correct `type` or the options next to it in flowyml.yaml",
    )


def _unknown_stack(stack: str, source: str) -> UnknownStackError:
    from flowyml.plugins.stack_config import get_stack_manager

    stacks = ", ".join(get_stack_manager().list_stacks())
    return UnknownStackError(
        what=f"FlowyML cannot create the stack {stack!r}",
        why="it would run the pipeline on this machine instead; flowyml.yaml "
        + (f"defines {stacks}" if stacks else "defines no stacks, or was not found"),
        fix=f"correct {source}, or flowyml.yaml",
    )


def _is_local(env: str) -> bool:
    from flowyml.stacks.enterprise.exceptions import StackValidationError
    from flowyml.stacks.enterprise.project_config import load_project_config

    try:
        config = load_project_config()
    except StackValidationError:  # FlowyML reports it when it reads the environments
        return False
    environment = config.environments.get(env) if config is not None else None
    return environment is not None and environment.stack == "local"
