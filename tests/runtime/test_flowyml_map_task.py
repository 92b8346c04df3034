"""The call of FlowyML's `@map_task`, in a job without FlowyML.

`tests/integrations/flowyml/test_adapter.py` compares it with that of FlowyML.
"""

from __future__ import annotations

import _thread
import importlib.util
import inspect
import sys
import threading
from collections.abc import Iterator

import pytest

from flowyml_aws.core import clock
from flowyml_aws.core.binding import bind
from flowyml_aws.runtime.flowyml_map_task import MapTask
from flowyml_aws.runtime.flowyml_stand_in import MapTaskResult, stand_in_for_flowyml

if importlib.util.find_spec("flowyml") is not None:
    pytest.skip("FlowyML is installed here", allow_module_level=True)


@pytest.fixture(autouse=True)
def stand_in() -> Iterator[None]:
    before = list(sys.meta_path)
    stand_in_for_flowyml()
    yield
    sys.meta_path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "flowyml"]:
        del sys.modules[name]


def square(number: int) -> int:
    return number**2


def refuse_three(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


def test_the_function_is_called_for_each_item_and_results_are_in_order() -> None:
    result = MapTask(square, "square")([3, 1, 2])
    assert result == MapTaskResult(results=[9, 1, 4], successes=3, total=3)
    assert (result.success_ratio, result.successful_results) == (1.0, [9, 1, 4])


def test_at_most_that_many_items_run_at_once() -> None:
    together = threading.Barrier(2, timeout=60)
    threads = set()

    def meet(_: int) -> None:
        together.wait()
        threads.add(threading.current_thread().name)

    assert MapTask(meet, "meet", concurrency=2)([1, 2, 3, 4]).successes == 4
    assert len(threads) == 2


def test_the_other_arguments_are_those_of_every_item() -> None:
    def scale(number: int, factor: int, offset: int = 0) -> int:
        return factor * number + offset

    assert MapTask(scale, "scale")([1, 2], 10, offset=5).results == [15, 25]


def test_the_list_can_be_passed_by_name() -> None:
    assert MapTask(square, "square")(number=[1, 2]).results == [1, 4]


@pytest.mark.parametrize("value", [3, range(3), {3}], ids=str)
def test_a_value_is_one_item_unless_it_is_a_list_or_tuple(value: object) -> None:
    assert MapTask(lambda each: each, "same")(value).results == [value]


def test_an_empty_list_has_an_empty_result() -> None:
    assert MapTask(square, "square")([]) == MapTaskResult()


def test_failed_items_are_left_out_if_enough_items_succeed() -> None:
    result = MapTask(refuse_three, "refuse", min_success_ratio=0.5)([1, 3, 2])
    assert result == MapTaskResult(
        [1, None, 2], successes=2, failures=1, errors={1: "three"}, total=3
    )
    assert result.successful_results == [1, 2]


def test_too_many_failed_items_are_an_error_with_the_first_one_as_its_cause() -> None:
    message = r"'refuse' failed: success ratio 50.0% < minimum 100.0%. 1/2 items failed"
    with pytest.raises(RuntimeError, match=message) as caught:
        MapTask(refuse_three, "refuse")([3, 1])
    assert str(caught.value.__cause__) == "three"


def test_the_first_failed_item_is_the_last_one_if_it_fails_fast() -> None:
    task = MapTask(refuse_three, "refuse", min_success_ratio=0, fail_fast=True)
    assert task([3] * 100).failures == 1


def test_an_interrupted_step_does_not_wait_for_its_items() -> None:
    ended = threading.Event()

    def interrupt(_: int) -> None:
        _thread.interrupt_main()
        ended.wait(60)

    with pytest.raises(KeyboardInterrupt):
        MapTask(interrupt, "interrupt")([1])
    assert not ended.is_set()
    ended.set()


def test_an_item_is_retried_with_doubled_delays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clock, "_speed", 1e6)
    calls: dict[int, int] = {}

    def flaky(number: int) -> int:
        calls[number] = calls.get(number, 0) + 1
        if calls[number] <= number:
            raise ValueError("not yet")
        return number

    task = MapTask(flaky, "flaky", retries=2, retry_delay_s=3, min_success_ratio=0)
    assert task([0, 2, 3]).results == [0, 2, None]
    assert calls == {0: 1, 2: 3, 3: 3}
    log = capsys.readouterr().err
    assert "flaky: item 1 failed: not yet; retrying in 3 s" in log
    assert "flaky: item 1 failed: not yet; retrying in 6 s" in log
    assert "flaky: item 2 failed: not yet\n" in log


def test_its_first_parameter_takes_the_list_and_the_others_keep_their_types() -> None:
    def scale(number: int, factor: float = 2.0) -> float:
        return number * factor

    first, second = inspect.signature(MapTask(scale, "scale")).parameters.values()
    assert (first.name, first.annotation) == ("number", first.empty)
    assert (second.annotation, second.default) == (float, 2.0)


def test_its_arguments_are_bound_like_those_of_the_function() -> None:
    def scale(number: int, factor: int) -> int:
        return number * factor

    bound = bind(MapTask(scale, "scale"), ["data/numbers"], ["factor"])
    assert (bound.of_assets, bound.missing) == ({"number": "data/numbers"}, ())
    assert bind(MapTask(scale, "scale"), [], ["factor"]).missing == ("number",)
