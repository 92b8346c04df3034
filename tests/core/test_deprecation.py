"""Warnings about deprecated names."""

from __future__ import annotations

import warnings

import pytest

from flowyml_aws.core.deprecation import FlowymlDeprecationWarning, deprecated


def old_name() -> int:
    deprecated("old_name()", instead="new_name()", since="0.2.0", removed_in="0.4.0")
    return 1


class Shape:
    @property
    def size(self) -> int:
        deprecated("Shape.size", instead="Shape.area", since="0.2.0", removed_in="0.4.0")
        return 4


def test_a_deprecated_name_works_and_names_its_replacement_and_its_end() -> None:
    with pytest.warns(FlowymlDeprecationWarning) as caught:
        assert old_name() == 1
    assert str(caught[0].message) == (
        "old_name() is deprecated since flowyml-aws 0.2.0 and will be removed in 0.4.0:"
        " use new_name()"
    )


def test_the_warning_names_the_line_of_the_user() -> None:
    with pytest.warns(FlowymlDeprecationWarning) as caught:
        assert Shape().size == 4
    assert caught[0].filename == __file__


def test_python_shows_the_warning_by_default_also_in_imported_modules() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.resetwarnings()
        # Python's own filters
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        old_name()
    assert [warning.category for warning in shown] == [FlowymlDeprecationWarning]
