"""``vclip bench`` and ``python -m bench``."""

from __future__ import annotations

import click

from bench.commands import COMMANDS
from vclipper.commands.options import WholeSentences


@click.group(cls=WholeSentences, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def bench(context: click.Context) -> None:
    """Score, tune and time: everything that prints a figure."""
    context.obj = _openclip_name


def _openclip_name(model: str) -> str:
    from vclipper.models import openclip_name

    return openclip_name(model)


for _command in COMMANDS:
    bench.add_command(_command)
