"""`serve`: the steps behind the run button of the Prefect UI."""

import typer

from pipeline.commands.output import say


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command("serve")(serve)


def serve() -> None:
    """Let the Prefect UI start every step: its run button asks for the parameters and runs the step here.

    Uses the server that PREFECT_API_URL names, or that of `make ui`; where neither runs it starts one, with
    its page, on loopback. A step that failed is started again the same way, and does only what is missing.

    Example: `permafrost serve`, then http://127.0.0.1:4200/deployments
    """
    from pipeline.serving import serve_steps

    serve_steps(say)
