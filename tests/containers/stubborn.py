"""A job that ignores SIGTERM, on an emulated account with a short grace period."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from flowyml_aws.testing import Emulator
from tests.testing.conftest import BatchClient

with Emulator(containers=sys.argv[1], stop_grace_s=0.5) as aws:
    batch = BatchClient(aws)
    job_id = batch.submit(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up')\n"
        "while True: time.sleep(1)"
    )
    batch.wait_for_line(job_id, "up")
    batch.api.terminate_job(jobId=job_id, reason="enough")
    job = batch.ended(job_id)
    print(job["status"], job["container"]["exitCode"], job["statusReason"])
