"""Parts of maps over produced lists, expanded in their job into the steps of their items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.artifacts.list_index import ListIndex, ListItem
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.core.arguments import Argument, Arguments
from flowyml_aws.core.errors import ListMismatchError
from flowyml_aws.runtime.parts import (
    check_list,
    expand_parts,
    lists_to_read,
    outputs_of_part,
    positions_to_read,
)
from flowyml_aws.runtime.program import Program
from flowyml_aws.runtime.spec import (
    AssetSource,
    CodeSource,
    JobSpec,
    StepCache,
    StepPart,
    StepSpec,
    StoredObject,
)

OBJECT = StoredObject(key="k", sha256="0" * 64, size_bytes=1)


def part(name: str, output: str, number: int, count: int, **lists: str) -> StepSpec:
    """Return a part of a step; keywords are the assets that it reads, by the list they are of."""
    read = {asset.format(f"{{{number + 1}/{count}}}"): name for name, asset in lists.items()}
    return StepSpec(
        name=f"{name}{{{number + 1}/{count}}}",
        declared=name,
        reads=(*read, "other"),
        arguments=Arguments((*(Argument("asset", asset) for asset in read),)),
        outputs=(f"{output}{{{number + 1}/{count}}}",),
        stored=(f"{output}{{{number + 1}/{count}}}",),
        retry=2,
        retry_delay_s=0,
        timeout_s=60,
        on_failure="finish",
        part=StepPart(number=number, count=count, lists=read),
        cache=StepCache(
            identity="code",
            assets={**dict.fromkeys(read, "key of the producer"), "other": None},
            machine="",
            ask=True,
            labels={asset: f"{asset}{{{number + 1}/{count}}}" for asset in read},
        ),
    )


def job(*steps: StepSpec, reads: Sequence[str] = ("shards", "other")) -> JobSpec:
    return JobSpec(
        store="s3://b",
        run_id="r",
        pipeline="p",
        job="j",
        python="3.12",
        code=CodeSource(bundle=OBJECT, in_place=False, root="/", program=Program(paths=())),
        payload=OBJECT,
        steps=steps,
        assets={asset: AssetSource(job="producer") for asset in reads},
    )


def a_ref(position: int) -> ArtifactRef:
    return ArtifactRef(
        uri=f"s3://b/{position}", sha256=f"{position:064x}", size_bytes=1, codec="json/1"
    )


def a_list(length: int, **changes: ListItem) -> ListIndex:
    items = (changes.get(f"n{n}") or ListItem(position=n, ref=a_ref(n)) for n in range(length))
    return ListIndex(length=length, items=tuple(items))


def train(number: int, count: int) -> StepSpec:
    return part("train", "model", number, count, shards="shards")


def score(number: int, count: int) -> StepSpec:
    return part("score", "loss", number, count, model="model{}")


def names(spec: JobSpec) -> list[str]:
    return [step.name for step in spec.steps]


def test_the_items_of_the_slice_run_before_the_part() -> None:
    spec = expand_parts(job(train(1, 2)), {"shards": a_list(5)})
    assert names(spec) == ["train[2]", "train[3]", "train[4]", "train{2/2}"]
    item = spec.steps[0]
    assert (item.function, item.reads, item.outputs) == (
        "train",
        ("shards[2]", "other"),
        ("model[2]",),
    )
    assert item.arguments.assets == ("shards[2]",)
    assert item.stored == ("model[2]",)
    assert (item.retry, item.timeout_s, item.is_item, item.part) == (2, 60, True, None)
    assert spec.assets["shards[2]"] == AssetSource(ref=a_ref(2))
    ended = spec.steps[-1].part
    assert ended is not None
    assert (ended.length, ended.positions) == (5, (2, 3, 4))
    assert outputs_of_part(spec.steps[-1], 3) == {"model{2/2}": "model[3]"}


def test_an_item_is_looked_up_by_its_content() -> None:
    spec = expand_parts(job(train(0, 1)), {"shards": a_list(1)})
    cache = spec.steps[0].cache
    assert cache is not None
    assert cache.assets == {"shards[0]": None, "other": None}
    assert cache.labels == {"shards[0]": "shards"}
    assert cache.ask


def test_steps_of_a_job_run_item_by_item() -> None:
    spec = expand_parts(job(train(0, 2), score(0, 2)), {"shards": a_list(4)})
    assert names(spec) == [
        "train[0]",
        "score[0]",
        "train[1]",
        "score[1]",
        "train{1/2}",
        "score{1/2}",
    ]
    assert spec.steps[1].reads == ("model[0]", "other")
    assert "model[0]" not in spec.assets  # the job itself produces it


def test_a_part_reads_the_items_of_the_same_part_of_another_job() -> None:
    dropped, absent = (
        ListItem(position=2, dropped="step 'train[2]' failed"),
        ListItem(position=3, absent="the condition of step 'train[3]' is false"),
    )
    models = ListIndex(length=4, items=(dropped, absent))
    spec = job(score(1, 2), reads=("model{2/2}",))
    assert lists_to_read(spec) == ("model{2/2}",)
    expanded = expand_parts(spec, {"model{2/2}": models})
    assert names(expanded) == ["score[2]", "score[3]", "score{2/2}"]
    assert expanded.assets["model[2]"] == AssetSource(dropped=dropped.dropped)
    assert expanded.assets["model[3]"] == AssetSource(absent=absent.absent)


def test_a_part_without_items_only_stores_its_empty_lists() -> None:
    spec = expand_parts(job(train(0, 3)), {"shards": a_list(1)})
    assert names(spec) == ["train{1/3}"]
    ended = spec.steps[0].part
    assert ended is not None
    assert ended.positions == ()


def test_parts_of_a_list_that_does_not_exist_stay_for_the_runner_to_skip() -> None:
    spec = job(train(0, 2), score(0, 2))
    assert expand_parts(spec, {}).steps == spec.steps


def test_lists_of_different_lengths_are_an_error_that_names_them() -> None:
    spec = job(part("join", "pair", 0, 1, xs="xs", ys="ys"), reads=("xs", "ys"))
    with pytest.raises(ListMismatchError) as caught:
        expand_parts(spec, {"xs": a_list(1), "ys": a_list(2)})
    assert caught.value.what == "Step 'join' can't map over lists of different lengths"
    assert caught.value.why == "xs has 1 items, ys has 2 items"


@pytest.mark.parametrize("value", ["abc", {"a": 1}, 3, None, iter([1])])
def test_only_lists_are_mapped_over(value: Any) -> None:
    with pytest.raises(ListMismatchError, match=r"'shards' is a .*, not a list"):
        check_list("shards", value)


def test_a_job_reads_the_items_of_its_own_parts_only() -> None:
    assert positions_to_read(job(train(1, 4), train(2, 4)), "shards", 8) == [2, 3, 4, 5]


@given(st.integers(0, 40), st.integers(1, 12), st.integers(1, 5))
def test_parts_cover_each_item_once_and_in_order(length: int, count: int, per_job: int) -> None:
    values: dict[str, Any] = {f"shards[{n}]": n for n in range(length)}
    order: list[int] = []
    for start in range(0, count, per_job):
        numbers = range(start, min(count, start + per_job))
        steps = [step for n in numbers for step in (train(n, count), score(n, count))]
        spec = expand_parts(job(*steps), {"shards": a_list(length)})
        order += run(spec, values)
    assert order == list(range(length))
    losses = [v for n in range(count) for v in values[f"loss{{{n + 1}/{count}}}"]]
    assert losses == [-(n * n) for n in range(length)]


FUNCTIONS: Mapping[str, Any] = {"train": lambda shard: shard * shard, "score": lambda model: -model}


def run(spec: JobSpec, values: dict[str, Any]) -> list[int]:
    """Run the steps of a spec, and return the positions of the items of `train` in their order."""
    order = []
    for step in spec.steps:
        if step.part is not None:
            items = [outputs_of_part(step, p) for p in step.part.positions or ()]
            for asset in step.outputs:
                values[asset] = [values[item[asset]] for item in items]
            continue
        function = FUNCTIONS[step.function]
        values[step.outputs[0]] = step.arguments.call(function, values, {})
        if step.function == "train":
            order.append(int(step.name.partition("[")[2][:-1]))
    return order
