# Written as users write programs, with what the linter refuses.
# ruff: noqa
# mypy: ignore-errors
"""A module that `changes` changes."""

from __future__ import annotations

import collections
import functools

FACTOR = 1
REGISTRY = {}
SHARED = [1]
DEFAULTS = collections.defaultdict(list)
QUEUE = collections.deque([1], maxlen=3)


class Settings:
    rate = 1
    nested = {"a": [1]}

    def method(self):
        return "of the file"


class Slotted:
    __slots__ = ("size",)

    def __init__(self):
        self.size = 1


class Words(dict):
    pass


SLOTTED, WORDS = Slotted(), Words(a=1)


def scaled(x):
    return x * FACTOR


def default(x=3):
    return x


@functools.lru_cache
def cached(x):
    return x + FACTOR


@functools.singledispatch
def kind(x):
    return "of the file"


def wrapping(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments)

    return inner


@wrapping
def decorated():
    return "of the file"


class Parent:
    rate = 1

    def kind(self):
        return "of the parent"


class Child(Parent):
    rate = 2

    def kind(self):
        return "of the child"


GONE = 1
