"""Machines of the emulated account, and the processes or containers of jobs on them."""
