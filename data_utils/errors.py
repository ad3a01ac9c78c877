"""The exception for bad input."""


class InputError(ValueError):
    """Bad input from the user.

    Its message is one line that names the file, the value and the way out. The command line prints
    it without a traceback and exits with status 2; nothing has been written by then.
    """
