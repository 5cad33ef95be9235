"""The one exception that is shown to a person as it stands."""


class UserMistake(ValueError):
    """Bad input, told in one sentence: what was found, what was kept, what to do.

    The command line prints it on stderr and exits with 2; a page shows it in a box. Every other exception
    is a fault of the program: exit code 1, and the page shows an incident number instead of a traceback.
    """
