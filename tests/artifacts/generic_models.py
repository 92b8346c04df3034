"""Generic pydantic models of a module, which only parametrizes them inside functions."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel

__all__ = ["Box", "Pair"]

First = TypeVar("First")
Second = TypeVar("Second")


class Box(BaseModel, Generic[First]):
    item: First


class Pair(BaseModel, Generic[First, Second]):
    first: First
    second: Second
