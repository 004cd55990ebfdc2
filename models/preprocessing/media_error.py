"""The one error of everything that reads media."""


class MediaError(ValueError):
    """A medium that cannot be used: of another kind, truncated, damaged, or over a limit."""
