"""`python -m flowyml_aws` is the command `flowyml-aws`."""

from __future__ import annotations

import os

from flowyml_aws.cli import main
from flowyml_aws.runtime.user import drop_root

if __name__ == "__main__":
    drop_root(os.environ)  # in a container, as the driver of a run
    main()
