"""The three ways a run can go wrong, each with a message written for its user."""


class InputError(ValueError):
    """Bad input: one sentence that says what is wrong and what is allowed.

    Every rank raises it with the same message; the command line prints the message and exits with 2.
    """


class SolveError(RuntimeError):
    """A solve that failed: the message is the report; the command line exits with 3."""


class OutputError(RuntimeError):
    """Results that cannot be written, as on a full disk: one sentence; the command line exits with 3.

    Every rank raises it with the same message.
    """


SENTENCES = (InputError, OutputError)
"""Errors that are one sentence, also where they come from files in the middle of a run."""
