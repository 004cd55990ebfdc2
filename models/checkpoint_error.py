"""The one error of everything that reads a model from disk."""


class CheckpointError(ValueError):
    """A folder that does not hold a usable model."""
