"""What a person at the terminal should read instead of a traceback."""


class LocalError(Exception):
    """Something of the local stack does not work; the message says what, where and what to do."""
