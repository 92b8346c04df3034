"""Running on this machine: a directory as the store, processes as the jobs."""
