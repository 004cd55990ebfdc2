"""`python -m services.cli`: the same as `attune`."""

from services.cli.main import app

app()
