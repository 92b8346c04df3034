from __future__ import annotations

import pickle

import pytest

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.core.errors import DamagedArtifactError, SettingsError


class Point(Document):
    x: int
    y: int = 0


def test_json_is_deterministic_and_indented() -> None:
    assert Point(x=1).to_json() == b'{\n "x": 1,\n "y": 0\n}'


def test_json_can_be_one_line() -> None:
    assert Point(x=1).to_json(indent=None) == b'{"x":1,"y":0}'


def test_a_document_is_read_from_its_json() -> None:
    assert read_document(Point, Point(x=1, y=2).to_json(), "point") == Point(x=1, y=2)


def test_an_unknown_field_is_an_error_that_names_the_document() -> None:
    with pytest.raises(DamagedArtifactError, match="s3://b/point"):
        read_document(Point, b'{"x": 1, "z": 2}', "s3://b/point")


def test_half_of_a_surrogate_pair_is_an_error() -> None:
    class Named(Document):
        name: str

    with pytest.raises(SettingsError, match="UTF-8"):
        Named(name="\ud800").to_json()


def test_the_names_of_given_fields_take_no_memory_in_any_document() -> None:
    made, read = Point(x=1), read_document(Point, b'{"x": 1, "y": 2}', "point")
    changed = made.model_copy(update={"y": 3})
    sets = {id(point.__pydantic_fields_set__) for point in (made, read, changed)}
    assert len(sets) == 1


def test_a_changed_copy_leaves_other_documents_unchanged() -> None:
    point = Point(x=1)
    changed = point.model_copy(update={"y": 5})
    assert (changed.y, point.y, Point(x=1).model_fields_set) == (5, 0, set())


def test_a_document_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Point(x=1, y=2))) == Point(x=1, y=2)
