"""`attune status`: what is up and how it is."""

import typer

from services.cli.commands.options import DEFAULT_HOME, Home, JsonFile


def status(home: Home = DEFAULT_HOME, json: JsonFile = None) -> None:
    """Show each service's health, what it serves, its memory, uptime and address.

    The exit code is 0 where all serve and 1 otherwise.
    """
    from services.cli.stack.connection import require_state
    from services.cli.stack.survey import survey, survey_figures, survey_table
    from services.cli.terminal import results, write_json

    state = require_state(home)
    reports = survey(state)
    if json:
        write_json(json, survey_figures(state, reports))
    if str(json) != "-":
        results().print(survey_table(state, reports))
    if any(report.health != "serving" for report in reports):
        raise typer.Exit(1)
