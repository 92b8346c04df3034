from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flowyml_aws.core.errors import InvalidQuantityError
from flowyml_aws.core.quantities import exact_cpu, exact_memory
from flowyml_aws.core.written import parse_json, parse_toml, shortened

DEEP = 100_000


@pytest.mark.version_sensitive
@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_json, "[" * DEEP),
        (parse_json, "9" * 5000),
        (parse_json, "{"),
        (parse_toml, "a = " + "[" * DEEP),
        (parse_toml, "a = " + "9" * 5000),
        (parse_toml, "a = "),
    ],
    ids=["deep JSON", "digits in JSON", "JSON", "deep TOML", "digits in TOML", "TOML"],
)
def test_every_text_that_can_not_be_read_is_a_value_error(
    parse: Callable[[str], Any], text: str
) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert len(str(caught.value)) < 200


def test_long_values_are_cut_off_in_messages() -> None:
    assert shortened("short") == "'short'"
    assert shortened("x" * 20_000_000).endswith("… (20,000,002 characters)")
    assert len(shortened("x" * 20_000_000)) < 250
    assert shortened(10**5000) == "a value of type int"


@pytest.mark.parametrize(
    "quantity", [10**5000, "9" * 5000, "1e90", 1e300], ids=["int", "str", "e", "float"]
)
@pytest.mark.parametrize("parse", [exact_cpu, exact_memory])
def test_a_quantity_that_no_machine_has_is_refused(
    parse: Callable[[Any], object], quantity: object
) -> None:
    with pytest.raises(InvalidQuantityError) as caught:
        parse(quantity)
    assert len(str(caught.value)) < 400
