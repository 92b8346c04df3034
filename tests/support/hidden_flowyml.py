"""A `sitecustomize` for jobs that hides FlowyML from them."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

if os.environ.get("FLOWYML_ATTEMPT"):  # a job on this machine

    class WithoutFlowyml(PathFinder):
        @classmethod
        def find_spec(cls, fullname, path=None, target=None):
            if fullname.partition(".")[0] == "flowyml":
                return None
            return super().find_spec(fullname, path, target)

    sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutFlowyml
