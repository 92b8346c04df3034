"""Values whose content is unknown, or is hard to read: they never count as equal by mistake."""

from __future__ import annotations

import contextvars
import functools
import io
import itertools
import logging
import sys
import threading
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

from flowyml_aws.caching.fingerprint import Fingerprint, Fingerprinter
from flowyml_aws.caching.identity import StepIdentity, identify
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step import Step, step
from tests.support.naming import stable_repr

pytestmark = pytest.mark.version_sensitive


def module_with(**values: Any) -> types.ModuleType:
    module = types.ModuleType("conf")
    vars(module).update(values)
    return module


def numbers(n: int) -> Any:
    yield from range(n)


async def later(n: int) -> int:
    return n


class Holder:
    def __init__(self, value: Any) -> None:
        self.value = value

    def get(self) -> Any:
        return self.value


def closing(value: Any) -> Callable[[], Any]:
    return lambda: value


def with_default(value: Any) -> Callable[..., Any]:
    def get(value: Any = value) -> Any:
        return value

    return get


def with_attribute(value: Any) -> Callable[[], Any]:
    def get() -> Any:
        return get.value  # type: ignore[attr-defined]

    get.value = value  # type: ignore[attr-defined]
    return get


def given(value: Any) -> Any:
    return value


# Values with content: equal content is equal, other content is not.
READABLE: dict[str, Callable[[int], Any]] = {
    "the keys of a dict": lambda n: {"a": 1, n: 2}.keys(),
    "the values of a dict": lambda n: {"a": n}.values(),
    "the items of a dict": lambda n: {"a": n}.items(),
    "the keys of an ordered dict": lambda n: OrderedDict({n: 1}).keys(),
    "a view in a list": lambda n: [{n: 1}.keys()],
    "a memory view": lambda n: memoryview(bytes([n, 2])),
    "the shape of a memory view": lambda n: memoryview(bytes(12)).cast("B", (n, 12 // n)),
    "a property": lambda n: property(with_default(n)),
    "a cached property": lambda n: functools.cached_property(with_default(n)),
    "a static method": lambda n: staticmethod(closing(n)),
    "a code object": lambda n: [closing, given][n - 1].__code__,
    "a module made at run time": lambda n: module_with(x=n),
    "a map over a list": lambda n: map(given, [n]),
    "an iterator over a list": lambda n: iter([n, 1]),
    "a StringIO": lambda n: io.StringIO(str(n)),
}
OPAQUE: dict[str, Callable[[int], Any]] = {
    "a generator": numbers,
    "a map over a generator": lambda n: map(given, numbers(n)),
    "a file": lambda n: sys.__stderr__,
    "a context variable": lambda n: contextvars.ContextVar("n"),
    "an event": lambda n: threading.Event(),
    "a thread-local value": lambda n: threading.local(),
    "a released memory view": lambda n: released(),
}
PLACES: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "a closure": closing,
    "a default": with_default,
    "an attribute of the function": with_attribute,
    "an argument of a partial": lambda value: functools.partial(given, value),
    "an attribute of a bound object": lambda value: Holder(value).get,
}


def released() -> memoryview:
    view = memoryview(b"a")
    view.release()
    return view


def read(function: Callable[..., Any]) -> Fingerprint:
    return Fingerprinter().read(step(name="train")(function))


def identity(target: Step, **context: Any) -> StepIdentity:
    graph, problems = read_graph([target], context=context)
    assert graph is not None and not problems
    found = identify(target, graph, context, Fingerprinter())
    assert found is not None
    return found


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("make", READABLE.values(), ids=READABLE)
def test_a_value_counts_by_its_content(
    make: Callable[[int], Any], place: Callable[[Any], Callable[..., Any]]
) -> None:
    first, same, other = (read(place(make(n))) for n in (1, 1, 2))
    assert first == same
    assert first.digest != other.digest
    assert first.opaque == other.opaque == ()


@pytest.mark.parametrize("make", READABLE.values(), ids=READABLE)
def test_a_context_value_counts_by_its_content(make: Callable[[int], Any]) -> None:
    first, same, other = (identity(step(given), value=make(n)) for n in (1, 1, 2))
    assert first == same
    assert first.digest != other.digest


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("make", OPAQUE.values(), ids=OPAQUE)
def test_an_identity_with_an_unknown_content_is_incomplete(
    make: Callable[[int], Any], place: Callable[[Any], Callable[..., Any]]
) -> None:
    (reason,) = read(place(make(1))).opaque
    assert type(make(1)).__name__ in reason
    assert identity(step(given), value=[make(1)]).opaque[0].startswith("context value 'value' (")


def test_a_reason_names_the_value() -> None:
    name = f"{__name__}"
    assert read(closing(numbers(1))).opaque == (
        f"{name}.closing.<locals>.<lambda>.value (generator)",
    )
    assert read(with_default(numbers(1))).opaque == (
        f"a default of {name}.with_default.<locals>.get (generator)",
    )
    assert read(with_attribute(numbers(1))).opaque == (
        f"an attribute of {name}.with_attribute.<locals>.get (generator)",
    )
    assert read(functools.partial(given, numbers(1))).opaque == ("function of train (generator)",)


@pytest.mark.parametrize(
    "value",
    [
        threading.Lock(),
        threading.RLock(),
        Holder(threading.Lock()),
        logging.getLogger("a"),
        logging.LoggerAdapter(logging.getLogger("a"), {"n": numbers(1)}),
        object(),
        itertools.chain,
        len,
    ],
    ids=stable_repr,
)
def test_a_value_without_content_of_its_own_is_complete(value: Any) -> None:
    for place in PLACES.values():
        assert read(place(value)).opaque == ()


LINE = numbers(3)


def test_an_opaque_global_is_identified_by_its_definition() -> None:
    def train() -> Any:
        return LINE

    assert read(train).opaque == ()


def test_a_global_without_a_definition_is_opaque(monkeypatch: pytest.MonkeyPatch) -> None:
    def train() -> Any:
        return UNDEFINED  # type: ignore[name-defined]  # noqa: F821

    monkeypatch.setitem(globals(), "UNDEFINED", numbers(3))
    assert read(train).opaque == (f"{__name__}.UNDEFINED (generator)",)


# The client alone reads the result of a cache function, so its iterators can be used up.

FILES = [1]


@pytest.mark.parametrize(
    "returned",
    [
        lambda: (size for size in FILES),
        lambda: map(given, FILES),
        lambda: {str(size): size for size in FILES}.keys(),
        lambda: dict.fromkeys(FILES).items(),
        lambda: memoryview(bytes(FILES)),
        lambda: ("sizes", [zip(FILES, FILES, strict=True)]),
        lambda: {"sizes": filter(None, FILES)},
        lambda: (map(given, FILES) for _ in "a"),
    ],
)
def test_the_items_that_a_cache_function_returns_count(
    returned: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train() -> int:
        return 1

    target = step(cache=returned)(train)
    before = identity(target)
    assert before == identity(target)
    assert before.opaque == ()
    monkeypatch.setitem(globals(), "FILES", [2])
    assert identity(target).digest != before.digest


def test_the_result_of_a_cache_function_can_be_unknown() -> None:
    target = step(cache=lambda: threading.Event())(closing(1))
    assert identity(target).opaque == ("the result of the cache function (threading.Event)",)
