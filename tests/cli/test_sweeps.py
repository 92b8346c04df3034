from __future__ import annotations

from pathlib import Path

import pytest

from flowyml_aws.cli.sweeps import read_sweeps
from flowyml_aws.core.context import ContextText
from flowyml_aws.core.errors import SettingsError


def written(folder: Path, text: str) -> Path:
    path = folder / "trials.csv"
    path.write_text(text, "utf-8")
    return path


def test_each_row_of_a_file_is_an_item(tmp_path: Path) -> None:
    file = written(tmp_path, 'lr, name\n0.1,"a, b"\n\n0.2,c\n')
    assert read_sweeps([f"train={file}"]) == {
        "train": [
            {"lr": ContextText("0.1"), "name": ContextText("a, b")},
            {"lr": ContextText("0.2"), "name": ContextText("c")},
        ]
    }


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    file = written(tmp_path, "\ufefflr\n1\n")
    assert read_sweeps([f"train={file}"]) == {"train": [{"lr": ContextText("1")}]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no rows"),
        ("lr\n", "it has no rows"),
        ("lr,lr\n1,2\n", "a parameter has two columns"),
        ("learning rate\n1\n", "'learning rate' is not a parameter name"),
        ("lr,depth\n1,2\n3\n", "row 3 has 1 values, and there are 2 parameters"),
    ],
)
def test_a_mistake_in_a_file_is_an_error(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_sweeps([f"train={written(tmp_path, text)}"])
    assert caught.value.why == why


@pytest.mark.parametrize("option", ["trials.csv", "=trials.csv", "train="])
def test_a_malformed_option_is_an_error(option: str) -> None:
    with pytest.raises(SettingsError, match=r"expected STEP=FILE\.csv"):
        read_sweeps([option])


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Can't read --sweep"):
        read_sweeps([f"train={tmp_path / 'none.csv'}"])
