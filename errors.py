"""The one exception type for a user's mistake."""


class AmsbenchError(Exception):
    """Something the user can put right; the command line prints it as one sentence and exits with code 2.

    The message names the offending value, the file it came from where there is one, and the fix.
    """
