"""The table in `docs/round-trips.md`, cell by cell."""

from __future__ import annotations

import io
import re
from pathlib import Path

import cloudpickle
import pytest

from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.artifacts.round_trips import ROWS, Kept, KeptBut, Refused, same

pytestmark = pytest.mark.version_sensitive

PAGE = Path(__file__).parents[2] / "docs" / "round-trips.md"


@pytest.mark.parametrize("value", ROWS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_value_is_kept_or_refused_as_documented(tmp_path: Path, value: str) -> None:
    store = DirectoryArtifactStore(tmp_path / "store")
    row = ROWS[value]
    original = row.make(tmp_path)
    if isinstance(row, Refused):
        with pytest.raises(UnstorableValueError) as caught:
            save_value(store, "value", original)
        assert row.fix in caught.value.fix
        assert store.children("") == []
        if isinstance(original, io.IOBase):
            original.close()
        return
    loaded = load_value(store, save_value(store, "value", original), "value", tmp_path / "assets")
    assert type(loaded) is type(original) or isinstance(row, KeptBut)
    if isinstance(row, Kept):
        assert same(loaded, original)
        assert not row.by_pickle or same(loaded, cloudpickle.loads(cloudpickle.dumps(original)))
    else:
        assert row.differs(loaded, original)


def test_the_table_in_the_documentation_is_the_tested_one() -> None:
    rows = re.findall(r"^\|([^|\n]+)\|([^|\n]+)\|[^|\n]*\|$", PAGE.read_text("utf-8"), re.M)
    cells = [(value.strip(), outcome.strip()) for value, outcome in rows]
    documented = [row for row in cells if row[0] not in ("value", "---")]
    outcomes = {Kept: "exactly", KeptBut: "but for", Refused: "refused"}
    assert documented == [(value, outcomes[type(row)]) for value, row in ROWS.items()]
