"""A service for tests: jobs are local processes, on instance types of its own."""
