from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.catalog_cache import write_catalog
from flowyml_aws.planning.catalog_documents import Prices, Source, Specification, Specifications
from flowyml_aws.planning.catalog_files import load_catalog

SOURCE = Source(what="a test", day=date(2026, 11, 23))
REGION = "eu-west-1"


def specifications(*names: str) -> Specifications:
    types = tuple(Specification(name=name, vcpus=2, memory_mib=8192) for name in names)
    return Specifications(region=REGION, source=SOURCE, types=types)


def prices(**on_demand: float) -> Prices:
    return Prices(
        region=REGION,
        sources={"on_demand": SOURCE, "spot": SOURCE},
        on_demand={name.replace("_", "."): price for name, price in on_demand.items()},
        spot={},
        sagemaker={},
    )


def test_what_is_written_is_what_plans_read(tmp_path: Path) -> None:
    write_catalog(tmp_path / REGION, specifications("m5.large"), prices(m5_large=0.1))
    known = load_catalog(REGION, tmp_path).get("m5.large")
    assert known is not None
    assert (known.vcpus, known.price_usd_hour) == (2, 0.1)


def test_a_second_catalog_takes_the_place_of_the_first(tmp_path: Path) -> None:
    write_catalog(tmp_path / REGION, specifications("m5.large"), prices(m5_large=0.1))
    write_catalog(tmp_path / REGION, specifications("c5.large"), prices(c5_large=0.2))
    known = load_catalog(REGION, tmp_path)
    assert known.get("m5.large") is None
    assert known.get("c5.large") is not None


def test_nothing_else_stays_in_the_folder(tmp_path: Path) -> None:
    write_catalog(tmp_path / REGION, specifications("m5.large"), prices(m5_large=0.1))
    names = sorted(file.name for file in (tmp_path / REGION).iterdir())
    assert names == ["prices.json", "specifications.json"]


def test_a_file_that_can_not_be_replaced_is_an_error_that_leaves_no_rest(tmp_path: Path) -> None:
    (tmp_path / REGION / "specifications.json").mkdir(parents=True)
    with pytest.raises(SettingsError, match=f"can't be written to .*{REGION}"):
        write_catalog(tmp_path / REGION, specifications("m5.large"), prices(m5_large=0.1))
    assert [file.name for file in (tmp_path / REGION).iterdir()] == ["specifications.json"]
