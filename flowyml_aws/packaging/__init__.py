"""Packaging of the user's code for jobs: the project's files, and the pickled steps."""
