"""``vclip bench`` and ``python -m bench``."""

from __future__ import annotations

import click

from bench.commands import COMMANDS
from vclipper.commands.options import WholeSentences


@click.group(cls=WholeSentences, context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Score, tune and time: everything that prints a figure."""


for _command in COMMANDS:
    bench.add_command(_command)
