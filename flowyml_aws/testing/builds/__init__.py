"""CodeBuild of the emulated account: builds that really run on this machine."""
