"""Implicit time steps: backward Euler, BDF2 and the log-density's implicit Euler."""
