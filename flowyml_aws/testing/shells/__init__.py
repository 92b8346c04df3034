"""Shells in running jobs: the calls that open one, and the program that connects a terminal."""
