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
