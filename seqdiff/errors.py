"""Errors that a user can mend. Each says what was expected, what came, where, and what to do."""


class SeqdiffError(ValueError):
    """Base of every error caused by input; the command line turns it into one line and exit status 2."""


class AlphabetError(SeqdiffError):
    """A token, id or piece of text is outside the alphabet."""


class ConfigError(SeqdiffError):
    """A configuration or specification has an unknown key, a wrong type or a value out of range."""


class TemplateError(SeqdiffError):
    """A template's text cannot be read; the message marks the place."""


class CheckpointError(SeqdiffError):
    """A checkpoint is missing, damaged or of another kind than expected."""


class ConditionError(SeqdiffError):
    """What was asked of a sequence cannot be met, or does not fit the model."""


class TrainingError(SeqdiffError):
    """Training cannot go on; the last good checkpoint is kept."""


SEEN = 120  # characters of a typed text that an error shows


def marked(text: str, start: int, end: int, message: str, what: str = "template") -> TemplateError:
    """The error with the place, characters start … end − 1 of what was typed, marked in a window of the text around it."""
    left = max(0, start - SEEN // 2)
    shown, width = text[left : left + SEEN].replace("\n", " "), min(end, left + SEEN) - start
    return TemplateError(f"{what}, character {start + 1}: {message}\n  {shown}\n  {' ' * (start - left)}{'^' * max(1, width)}")
