"""Programs that run a step on several nodes."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["LAUNCHERS", "Launcher"]

Launcher = Literal["torchrun", "ray", "dask"]
"""`torchrun` starts processes of the function; `ray` and `dask` start a cluster for it."""

LAUNCHERS: tuple[Launcher, ...] = get_args(Launcher)
