"""Looks at parts of an account, by calls that only read; each tells what it finds."""
