from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flowyml_aws import step
from flowyml_aws.code.bindings import Binding
from flowyml_aws.core.errors import UnpicklableStepError
from flowyml_aws.core.step import Step
from flowyml_aws.packaging.decision import Decision
from flowyml_aws.packaging.payload import StepPayload, make_payload
from flowyml_aws.packaging.pickling import dump_code
from flowyml_aws.runtime.payload import Payload, load_payload, read_payload

pytestmark = pytest.mark.version_sensitive

LOCK = threading.Lock()


@step(outputs=["n"])
def of_module(n: int) -> int:
    with LOCK:  # importing the module creates a new lock
        return n


class OfModule:
    @step(name="of_class")
    def method() -> int:
        return 1


def round_trip(*steps: Step, **context: Any) -> Payload:
    """Return the payload of these steps as a job loads it."""
    return load_payload(read_payload(make_payload(steps, context).data))


def refused(*steps: Step, **context: Any) -> UnpicklableStepError:
    with pytest.raises(UnpicklableStepError) as caught:
        make_payload(steps, context)
    return caught.value


def test_a_step_function_is_pickled_by_reference(tmp_path: Path) -> None:
    assert round_trip(of_module).steps["of_module"].func is of_module.func


def test_a_step_function_in_a_class_is_pickled_by_reference(tmp_path: Path) -> None:
    loaded = round_trip(OfModule.method).steps["of_class"]
    assert loaded.func is OfModule.method.func


def test_a_step_function_in_a_function_is_pickled_by_value(tmp_path: Path) -> None:
    @step
    def inner() -> str:
        return "by value"

    loaded = round_trip(inner).steps["inner"]
    assert loaded.func is not inner.func
    assert loaded() == "by value"


@pytest.mark.contract
def test_steps_of_one_job_share_their_globals(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        from flowyml_aws import step
        from flowyml_aws.packaging.payload import make_payload
        from flowyml_aws.runtime.payload import PackedSteps
        import pickle
        counter = []

        @step
        def one():
            counter.append(1)

        @step
        def two():
            return counter

        packed = pickle.loads(make_payload([one, two], {}).data)
        steps = pickle.loads(packed.pickled).steps
        steps["one"]()
        print(steps["two"]())
        """
    )
    (tmp_path / "script.py").write_text(script)
    completed = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert completed.stdout == "[1]\n", completed.stderr


def test_the_payload_contains_the_context(tmp_path: Path) -> None:
    assert round_trip(of_module, n=3).context == {"n": 3}


def test_an_unpicklable_closure_variable_is_named() -> None:
    lock = threading.Lock()

    @step
    def work() -> None:
        lock.acquire()

    error = refused(work)
    assert error.what == "Step 'work' can't be pickled: variable 'lock' is a lock"
    assert "cannot pickle '_thread.lock' object" in error.why
    assert "inside the step" in error.fix


def of_script(text: str) -> Callable[..., Any]:
    """Return a function as a script defines it: its globals are pickled by value."""
    namespace: dict[str, Any] = {"__name__": "__main__", "threading": threading, "step": step}
    exec(textwrap.dedent(text), namespace)
    function: Callable[..., Any] = namespace["work"]
    return function


def test_an_unpicklable_global_of_a_script_is_named() -> None:
    error = refused(
        step(
            of_script(
                """
                lock = threading.Lock()
                unused = threading.Lock()
                def work():
                    lock.acquire()
                """
            )
        )
    )
    assert error.what == "Step 'work' can't be pickled: variable 'lock' is a lock"


@pytest.mark.parametrize(
    "body", ["[lock for _ in range(3)]", "(lambda: lock)()", "{n: lock for n in ()}"]
)
def test_a_global_that_only_inner_code_uses_is_named(body: str) -> None:
    error = refused(
        step(of_script(f"lock = threading.Lock()\ndef work():\n    return {body}\n")),
    )
    assert "variable 'lock' is a lock" in error.what


def test_a_variable_that_a_helper_uses_is_named_with_the_helper() -> None:
    error = refused(
        step(
            of_script(
                """
                connection = threading.Lock()
                def helper():
                    return connection
                def work():
                    helper()
                """
            )
        )
    )
    assert error.what == (
        "Step 'work' can't be pickled: variable 'connection', which helper uses, is a lock"
    )


def test_an_unpicklable_class_attribute_is_named() -> None:
    error = refused(
        step(
            of_script(
                """
                class Model:
                    lock = threading.Lock()
                def work():
                    return Model()
                """
            )
        )
    )
    assert error.what == "Step 'work' can't be pickled: Model.lock, which Model uses, is a lock"


def test_mutually_recursive_functions_are_explained_too() -> None:
    error = refused(
        step(
            of_script(
                """
                lock = threading.Lock()
                def even(n):
                    return odd(n - 1)
                def odd(n):
                    return even(n - 1) or lock
                def work():
                    return even(3)
                """
            )
        )
    )
    assert "variable 'lock', which odd uses, is a lock" in error.what


def test_an_unpicklable_default_is_named() -> None:
    def work(lock: Any = threading.Lock()) -> None:  # noqa: B008
        pass

    assert refused(step(work)).what == (
        "Step 'work' can't be pickled: the default of 'lock' is a lock"
    )


def test_an_unpicklable_variable_of_a_condition_is_named() -> None:
    lock = threading.Lock()

    @step(condition=lambda: lock.locked())
    def work() -> None:
        pass

    assert "variable 'lock' is a lock" in refused(work).what


def test_an_unpicklable_argument_of_a_partial_is_named() -> None:
    def work(lock: Any, more: int) -> None:
        pass

    error = refused(step(name="work")(functools.partial(work, threading.Lock())))
    assert "argument 0" in error.what and "is a lock" in error.what


def test_an_unpicklable_context_value_is_named() -> None:
    error = refused(of_module, n=1, db=threading.Lock())
    assert error.what == "The context can't be pickled: 'db' is a lock"


def test_the_faulty_step_is_named() -> None:
    lock = threading.Lock()

    @step
    def harmless() -> int:
        return 1

    @step
    def faulty() -> None:
        lock.acquire()

    # The module's own step uses a lock as well, but is pickled by reference.
    assert "Step 'faulty'" in refused(of_module, harmless, faulty).what


def test_an_object_that_raises_when_pickled_is_named() -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise ZeroDivisionError("not me")

    stubborn = Stubborn()

    @step
    def work() -> Any:
        return stubborn

    error = refused(work)
    assert "variable 'stubborn' is a " in error.what
    assert "ZeroDivisionError: not me" in error.why


class Pair(NamedTuple):
    a: int = 1


def test_generated_methods_are_pickled_with_their_own_globals() -> None:
    """Those of a named tuple name a module that does not exist."""
    constructor: Any = Pair.__new__
    binding = Binding(Pair.__new__.__module__, "Pair.__new__")
    pickled, _ = dump_code([constructor], by_value=[binding, Binding(__name__, "Pair.__new__")])
    assert pickle.loads(pickled)[0](Pair, 3) == Pair(3)


def test_cached_and_dispatching_functions_are_pickled_by_value() -> None:
    @functools.lru_cache(maxsize=3)
    def cached(x: int) -> int:
        return x + 1

    @functools.singledispatch
    def kind(x: object) -> str:
        return "other"

    kind.register(int, lambda x: "int")

    @step
    def work() -> Any:
        return cached(1), cached.cache_info().maxsize, kind(1), kind("a")

    cached(5)
    loaded = round_trip(work).steps["work"]
    assert loaded() == (2, 3, "int", "other")
    assert loaded.func is not work.func


SHARED = bytearray(b"s" * 500)
LARGE = {"shared": SHARED, "rest": b"l" * 2000}
OTHER = [SHARED, LARGE]


def with_large(
    *names: str, monkeypatch: pytest.MonkeyPatch, **context: Any
) -> tuple[StepPayload, dict[str, Any]]:
    """Return a payload that carries names of this module, and their values in a job."""
    carried = {Binding(__name__, name): globals()[name] for name in sorted(names)}
    packed = make_payload([of_module], context, Decision(carried=carried), large_bytes=1000)
    for name in names:
        monkeypatch.setitem(globals(), name, None)
    payload = load_payload(read_payload(packed.data), [data for _, data in packed.large])
    values = {value.binding.name: value.value for value in payload.values}
    assert all(globals()[name] is values[name] for name in names)
    monkeypatch.undo()
    return packed, {**values, **payload.context}


def test_large_values_are_stored_apart_and_stay_the_same_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed, values = with_large("LARGE", "OTHER", "SHARED", monkeypatch=monkeypatch)
    assert values["LARGE"] == LARGE
    assert values["OTHER"][0] is values["SHARED"] is values["LARGE"]["shared"]
    assert values["OTHER"][1] is values["LARGE"]
    assert len(packed.data) < 1500 < len(packed.large[0][1])


def test_jobs_share_a_large_value_whatever_else_they_carry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payloads = [
        with_large(*names, monkeypatch=monkeypatch, n=number)[0]
        for number, names in enumerate([("LARGE",), ("LARGE", "OTHER"), ("LARGE", "SHARED")])
    ]
    assert len({payload.large[0] for payload in payloads}) == 1
    assert len({payload.sha256 for payload in payloads}) == 3


def test_large_context_values_and_equal_values_are_loaded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (b"e" * 2000 for _ in range(2))
    data, rows = [1] * 5, list(range(1000))
    context = {"rows": rows, "a": bytearray(first), "b": bytearray(second), "small": data}
    packed, values = with_large("SHARED", monkeypatch=monkeypatch, **context)
    assert {name: values[name] for name in context} == context
    assert len(packed.large) == 3
    assert values["a"] is not values["b"]


def test_small_values_are_in_the_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    packed, values = with_large("SHARED", monkeypatch=monkeypatch)
    assert packed.large == () and values == {"SHARED": SHARED}


def test_a_payload_with_another_large_value_has_another_digest() -> None:
    one, other = (
        make_payload([of_module], {"data": letter * 2000}, large_bytes=1000) for letter in "ab"
    )
    assert one.sha256 != other.sha256
