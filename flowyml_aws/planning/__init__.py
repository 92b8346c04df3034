"""Planner: the catalog of instance types, their selection, and the plan of a whole run."""

from __future__ import annotations
