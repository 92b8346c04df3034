"""The tests: a package, as sagemaker-core brings another one of this name."""

from __future__ import annotations
