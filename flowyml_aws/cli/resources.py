"""Resources of steps from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.core.spelling import did_you_mean

__all__ = ["step_resources"]

_NAMES = ("cpu", "memory", "storage", "gpu", "gpu_count")


def step_resources(options: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return the resources by step, from options such as `train=memory=64Gi,cpu=8`.

    Raises:
        SettingsError: An option is malformed.
    """
    by_step: dict[str, dict[str, Any]] = {}
    for option in options:
        step, equals, values = option.partition("=")
        pairs = [pair.partition("=") for pair in values.split(",")]
        if not equals or not step or not all(is_pair and value for _, is_pair, value in pairs):
            raise SettingsError(
                what=f"Invalid --resources {option!r}: expected STEP=NAME=VALUE",
                why=f"NAME is one of {', '.join(_NAMES)}",
                fix="write for example --resources train=memory=64Gi,cpu=8",
            )
        for name, _, _ in pairs:
            if name not in _NAMES:
                raise SettingsError(
                    what=f"Unknown resource {name!r} in --resources {option!r}",
                    why=f"the resources are {', '.join(_NAMES)}",
                    fix=did_you_mean(name, _NAMES, "name one of them"),
                )
        by_step.setdefault(step, {}).update({name: value for name, _, value in pairs})
    return {step: _as_declared(option_values) for step, option_values in by_step.items()}


def _as_declared(values: Mapping[str, str]) -> dict[str, Any]:
    """Return resources with the keys of a step's declaration."""
    declared: dict[str, Any] = {n: v for n, v in values.items() if not n.startswith("gpu")}
    if "gpu" in values:
        declared["gpu"] = {"gpu_type": values["gpu"], "count": _count(values.get("gpu_count", "1"))}
    elif "gpu_count" in values:
        raise SettingsError(
            what="gpu_count without gpu in --resources",
            why="the type of the GPUs is missing",
            fix="write for example gpu=nvidia-a100,gpu_count=2",
        )
    return declared


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise SettingsError(
            what=f"Invalid gpu_count={text} in --resources",
            why="it must be a whole number",
            fix="write for example gpu_count=2",
        )
    return int(text)
