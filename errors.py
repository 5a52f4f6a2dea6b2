"""The one exception type for a user's mistake."""


class AmsbenchError(Exception):
    """Something the user can put right; the command line prints it as one sentence and exits with code 2.

    The message names the offending value, the file it came from where there is one, and the fix. As text it is one
    line, whatever characters the names and values in it have.
    """

    def __str__(self) -> str:
        line = " ".join(part.strip() for part in super().__str__().splitlines())
        return "".join(character if character.isprintable() else repr(character)[1:-1] for character in line)
