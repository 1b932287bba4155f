"""The one exception that stands for bad input or a bad machine state."""


class WorkbookError(Exception):
    """One sentence for a person: which file or value is wrong, and the remedy.

    The command line prints it without a stack trace and ends with exit code 1.
    """
