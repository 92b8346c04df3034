"""This machine: jobs are processes in the project's own folder."""
