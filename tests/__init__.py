"""The tests. They are a package because sagemaker-core installs a package named `tests`."""

from __future__ import annotations
