"""Programs that run a step in several processes, on one or several nodes."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CLUSTERS", "LAUNCHERS", "Launcher"]

Launcher = Literal["torchrun", "ray", "dask"]
"""`torchrun` starts processes of the function; `ray` and `dask` start a cluster for it."""

LAUNCHERS: tuple[Launcher, ...] = get_args(Launcher)
CLUSTERS: tuple[Launcher, ...] = ("ray", "dask")
"""Launchers that need several nodes."""
