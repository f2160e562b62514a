"""``vclip bench …`` and ``python -m bench …``, one file a subject: the only part of the bench that knows click.

Everything heavy is imported inside the commands, so that the group can be listed at no cost.
"""

from __future__ import annotations

import sys

import click

from bench.commands.corpus import corpus, cost, long, refine
from bench.commands.figures import models, plots
from bench.commands.scale import gpu, growth, scale, serve
from bench.commands.score import run, score, tables
from bench.commands.speed import shortcuts, speed
from bench.commands.tune import baselines, fit, tune
from indexer.errors import VClipperError

COMMANDS = (
    score,
    run,
    tables,
    tune,
    fit,
    baselines,
    models,
    plots,
    corpus,
    long,
    cost,
    refine,
    speed,
    shortcuts,
    scale,
    growth,
    serve,
    gpu,
)


class _Bench(click.Group):
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Whole sentences, wrapped; click would cut them."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(200)) for name in self.list_commands(ctx)]
            )


@click.group(cls=_Bench, context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Score, tune and time: everything that prints a figure."""


for _command in COMMANDS:
    bench.add_command(_command)


def main() -> None:
    """Run ``python -m bench``; every known error becomes one line and exit code 1."""
    try:
        code = bench.main(prog_name="python -m bench", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except VClipperError as error:
        click.echo(f"bench: {error}", err=True)
        code = 1
    sys.exit(code or 0)
