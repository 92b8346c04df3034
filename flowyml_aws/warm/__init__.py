"""Warm starts: forks of a process that has imported what a program needs."""
