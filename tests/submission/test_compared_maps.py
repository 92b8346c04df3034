from __future__ import annotations

from flowyml_aws.submission.compared_maps import (
    fold_items,
    joined_digest,
    joined_number,
    joined_range,
    joined_text,
)
from tests.support.maps import a_map

MAPS = {"train": a_map(3)}


def test_the_values_of_items_become_one_and_others_remain() -> None:
    times = {"load": 1.0, "train[0]": 2.0, "train[1]": 3.0, "x[0]": 4.0}
    assert fold_items(times, MAPS, joined_number) == {"load": 1.0, "train": 5.0, "x[0]": 4.0}


def test_the_digest_of_a_list_depends_on_the_order_of_its_items() -> None:
    first = fold_items({"model[0]": "a", "model[1]": "b"}, MAPS, joined_digest)
    second = fold_items({"model[0]": "b", "model[1]": "a"}, MAPS, joined_digest)
    assert first.keys() == second.keys() == {"model"} and first != second


def test_metrics_of_items_are_a_range_and_machines_a_list() -> None:
    assert joined_range([0.5, 0.25, 1.0]) == "0.25 to 1 in 3 items"
    assert joined_text(["m6i.large", "m6i.large", "c6i.large"]) == "m6i.large, c6i.large"
