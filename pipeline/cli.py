"""The `permafrost` command."""

import typer

from pipeline.commands import (
    benching,
    closing_the_loop,
    data,
    estimating,
    evaluating,
    featurizing,
    merging,
    planning,
    serving,
    stores,
    training,
    verifying,
)
from pipeline.commands.errors import exit_with_message

app = typer.Typer(
    name="permafrost",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    help="Encode robot video once through a frozen encoder; train world models from the store.",
)
_COMMANDS = (
    data, estimating, benching, featurizing, stores, verifying, merging, training, evaluating, planning,
    closing_the_loop,
    serving,
)  # fmt: skip
for commands in _COMMANDS:
    commands.register(app)


def main() -> None:
    """Run the command; an error that we name becomes one message on stderr and exit code 1."""
    with exit_with_message():
        app(prog_name="permafrost")


if __name__ == "__main__":
    main()
