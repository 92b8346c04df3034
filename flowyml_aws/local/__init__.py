"""The local service: a directory as the store, processes as the jobs."""
