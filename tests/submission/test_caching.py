"""Lookup of earlier runs' outputs in a store."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws import step
from flowyml_aws.core.fingerprint import Fingerprinter
from flowyml_aws.core.graph import read_graph
from flowyml_aws.submission.caching import KeyFacts, find_reuse, identities_of
from tests.support.denied_stores import StoreWithoutReadableCache


@step(outputs=["number"])
def count():
    return 3


@step(outputs=["word"])
def spell():
    return "three"


def test_a_denied_lookup_runs_the_steps_and_is_one_note_of_the_plan(tmp_path: Path) -> None:
    graph, _ = read_graph((count, spell), {})
    assert graph is not None
    known = identities_of("p", graph, {}, Fingerprinter(), KeyFacts()).known
    reuse = find_reuse(StoreWithoutReadableCache(tmp_path / "store"), graph, known, {}, ())
    assert reuse.runs == {"count", "spell"}
    (note,) = reuse.notes
    assert "the cache can't be read: Can't read cache/" in note
    assert "allow s3:GetObject on it" in note
