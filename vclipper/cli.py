"""The command line: parse, one call of ``Library``, print. The one boundary that turns errors into text.

Nothing heavy is imported before a command runs: ``vclip --help`` needs click and the settings only.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import ClassVar

import click

from indexer.discover import one_line
from indexer.errors import VClipperError
from vclipper import __version__
from vclipper.commands.export import export
from vclipper.commands.index import INTERRUPTED, index
from vclipper.commands.keep import info, list_videos, models, reindex, relink, remove, repair, verify
from vclipper.commands.mcp import mcp
from vclipper.commands.options import WholeSentences
from vclipper.commands.search import search
from vclipper.commands.serve import serve
from vclipper.commands.show import show
from vclipper.commands.watch import watch
from vclipper.refusals import as_typed, refusal

DEBUG = "VCLIP_DEBUG"
#: In the order of `vclip --help`.
COMMANDS = (
    index,
    watch,
    search,
    show,
    serve,
    mcp,
    export,
    info,
    list_videos,
    remove,
    relink,
    verify,
    repair,
    reindex,
    models,
)
#: Their matrix products are small. OpenBLAS would split them over all cores, and where the machine does other work
#: each part waits for a core of its own: 25 ms in place of 0.1.
SEARCHING = frozenset({"search", "show", "serve", "mcp"})


class _Commands(WholeSentences):
    """Commands in the order of use; ``bench`` is imported when it is asked for."""

    LAZY: ClassVar = {"bench": "Score, tune and time: everything that prints a figure."}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return [*self.commands, *self.LAZY]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command; ``bench`` is imported now."""
        if cmd_name == "bench":
            from vclipper.commands.bench import bench

            return bench
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vclip")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find the moment in your videos.

    \b
    vclip index ./videos
    vclip search "man in yellow blanket"
    """
    if context.invoked_subcommand in SEARCHING:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported


for _command in COMMANDS:
    cli.add_command(_command)


def main(group: click.Group = cli, program: str = "vclip") -> None:
    """Run the command line; every known error becomes one line and exit code 1."""
    logging.getLogger().setLevel(logging.CRITICAL)  # OpenCLIP logs what the errors below say again
    _show_notes()
    sys.exit(run(sys.argv[1:], group, program))


def _show_notes() -> None:
    """What the indexer says on the way goes to stderr, a line each; above a progress bar where there is one."""
    notes = logging.getLogger("indexer")
    notes.setLevel(logging.INFO)
    notes.propagate = False  # OpenCLIP gives the root logger a handler
    notes.addHandler(_Notes())


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        click.echo(f"vclip: {one_line(record.getMessage())}", err=True)


def run(arguments: list[str], group: click.Group = cli, program: str = "vclip") -> int:
    """Run one command of ``group`` and return its exit code: 0, 1 (known error), 2 (usage), 130 (Ctrl-C)."""
    name = program.split()[-1]
    try:
        return int(group.main(args=arguments, prog_name=program, standalone_mode=False) or 0)
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"{name}: {refusal(error, program, arguments)}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{name}: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # `vclip list | head`
        _drop_output()
        return 1
    except VClipperError as error:
        if os.environ.get(DEBUG):
            raise
        click.echo(f"{name}: {one_line(str(as_typed(error, group.commands, arguments)))}", err=True)
        return 1
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        click.echo(f"{name}: {_unexpected(error)}", err=True)
        return 1


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _drop_output()
        return f"nothing more can be written: {error.strerror}. Free some, or write elsewhere"
    first_line = (str(error).splitlines() or [""])[0]
    return f"unexpected {type(error).__name__}: {first_line} ({DEBUG}=1 shows where)"


def _drop_output() -> None:
    """What is still to be printed goes nowhere: at its end Python would try once more, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
