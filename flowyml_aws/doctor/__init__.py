"""Checks of this machine, the account and runs, with fixes for the problems they find."""
