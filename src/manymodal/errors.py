"""Errors that a user can act on: each says what came, what is allowed and what to do next."""


class ManymodalError(ValueError):
    """A mistake in input, settings or files that the user can mend. The CLI prints its text without a traceback."""


class BadValue(ManymodalError):
    """One value of a modality cannot be used (truncated picture, empty sound, NaN vector, wrong length).

    Args:
        index: position of the value in the sequence that was being read.
        reason: what is wrong with it, in words.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason
