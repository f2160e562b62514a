"""The command line: parse, one call of ``Library``, print. The one boundary that turns errors into text.

Nothing heavy is imported before a command runs: ``vclip --help`` needs click and the settings only.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from indexer.errors import InputError, VClipperError
from indexer.settings import DEFAULT_FPS, IndexSettings
from searcher.settings import DEFAULT_MIN_SCORE, Knob, SearchSettings, knobs
from vclipper import __version__

if TYPE_CHECKING:
    from vclipper.library import Library

DEBUG = "VCLIP_DEBUG"
INTERRUPTED = 130
_DEFAULT_WORDS = {
    "threshold": "by method and postprocessing",
    "min_score": f"{DEFAULT_MIN_SCORE}, in libraries of 300 frames or more",
}
_GREEK = {"λ": "--lambda", "β": "--beta", "α": "--alpha", "p": "-p", "M": "-M"}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Commands(click.Group):
    """Commands in the order of use; ``bench`` is imported when it is asked for."""

    LAZY: ClassVar = {"bench": "Score, tune and time: everything that prints a figure."}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return [*self.commands, *self.LAZY]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, ``bench`` from its own package."""
        if cmd_name == "bench":
            from bench.commands import bench

            return bench
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and one line each, without importing the lazy ones."""
        rows = [(name, command.get_short_help_str(60)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*rows, *self.LAZY.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vclip")
def cli() -> None:
    """Find the moment in your videos.

    \b
    vclip index ./videos
    vclip search "man in yellow blanket"
    """


def main() -> None:
    """Run the command line; every known error becomes one line and exit code 1."""
    logging.getLogger().setLevel(logging.CRITICAL)  # OpenCLIP logs what the errors below say again
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code: 0, 1 (known error), 2 (usage), 130 (Ctrl-C)."""
    try:
        return int(cli.main(args=arguments, prog_name="vclip", standalone_mode=False) or 0)
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("vclip: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # `vclip list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except VClipperError as error:
        if os.environ.get(DEBUG):
            raise
        click.echo(f"vclip: {error}", err=True)
        return 1
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        first_line = (str(error).splitlines() or [""])[0]
        click.echo(f"vclip: unexpected {type(error).__name__}: {first_line} ({DEBUG}=1 shows where)", err=True)
        return 1


def _open(library: str | None, device: str = "auto") -> Library:
    from vclipper.library import Library

    return Library.open(library, device=device)


def _library_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--library", metavar="DIR", help="The library [default: $VCLIP_LIBRARY or the user data folder]."
    )(command)


def _device_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help="Where the model runs."
    )(command)


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)


# ---- index


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@click.option("--fps", type=float, help=f"Sampled frames per second of a new library.  [default: {DEFAULT_FPS:g}]")
@click.option("--model", help="OpenCLIP model of a new library; see `vclip models`.  [default: ViT-B-32/laion2b]")
@_device_option
@click.option("--batch-size", type=int, default=0, help="Pictures at once.  [default: 8, on a GPU 256]")
@click.option("--workers", type=int, default=0, help="Decode processes.  [default: one per core]")
@_library_option
@click.option("--force", is_flag=True, help="Index unchanged files again.")
@click.option("--prune", is_flag=True, help="Take out videos whose files are gone.")
@click.option(
    "--decode-timeout",
    type=float,
    default=60.0,
    show_default=True,
    help="Stop a decoder silent for this many seconds.",
)
@_json_option
def index(
    paths: tuple[str, ...],
    fps: float | None,
    model: str | None,
    device: str,
    batch_size: int,
    workers: int,
    library: str | None,
    force: bool,
    prune: bool,
    decode_timeout: float,
    as_json: bool,
) -> int:
    """Index videos: folders, files or globs. Run it again after changes; only what is new is done."""
    from vclipper.output import print_report
    from vclipper.progress import progress_bar

    settings = IndexSettings(
        batch_size=batch_size, workers=workers, force=force, prune=prune, decode_timeout_seconds=decode_timeout
    )
    opened = _open(library, device)
    with progress_bar(shown=not as_json) as (on_progress, on_scan):
        report = opened.index(list(paths), model, fps, settings, on_progress, on_scan)
    if report.frames and opened.encoder.demo_only:
        click.echo(
            "Note: the model `demo` knows drawn shapes only. It is for trying VClipper; for real footage "
            "start a library with the default model.",
            err=True,
        )
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=1, ensure_ascii=False))
    else:
        print_report(report)
    return INTERRUPTED if report.interrupted else int(not report.ok)


# ---- search


def _option_of(knob: Knob) -> Decorator:
    """A click option for a search setting; None means "not given"."""
    names = [f"--{knob.name.replace('_', '-')}"]
    if knob.symbol in _GREEK:
        names.append(_GREEK[knob.symbol])
    kind: Any = click.Choice(knob.choices) if knob.choices else knob.kind
    default = _DEFAULT_WORDS.get(knob.name, knob.default)
    symbol = f" ({knob.symbol})" if knob.symbol else ""
    sentence = knob.help[0].upper() + knob.help[1:]
    if knob.kind is bool:
        flags = f"--{knob.name}/--no-{knob.name}"
        return click.option(flags, knob.name, default=None, help=f"{sentence}.  [default: {default}]")
    return click.option(*names, knob.name, type=kind, help=f"{sentence}{symbol}.  [default: {default}]")


def _settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for knob in reversed(knobs()):
        command = _option_of(knob)(command)
    return command


def _settings(file: str | None, given: dict[str, Any]) -> SearchSettings:
    """The defaults, over them the file's values, over them the options."""
    values = _read_settings(Path(file)) if file else {}
    return SearchSettings.from_dict({**values, **{k: v for k, v in given.items() if v is not None}})


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        settings = values.get("settings", values)  # `bench tune` keeps its provenance beside them
        return dict(settings)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "Check the path given to --settings") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} is not a settings file: {error}", "`vclip bench tune` writes one") from None


@cli.command()
@click.argument("query", nargs=-1)
@click.option("--image", metavar="FILE", help="Search by a picture instead of words.")
@click.option("--like", metavar="VIDEO@TIME", help="More like this moment, e.g. film.mp4@1:23.")
@click.option(
    "--template", "templates", multiple=True, metavar="TEXT", help='E.g. "a photo of {}"; several average.'
)
@click.option("--all", "show_all", is_flag=True, help="Show every moment, whatever its score.")
@_settings_options
@click.option("--settings", "settings_file", metavar="FILE", help="Settings that `vclip bench tune` found.")
@click.option("--in", "within", metavar="GLOB", help='Only videos whose path matches, e.g. "holiday/*".')
@click.option("--model", help="Refuse unless the library was made with this model.")
@_device_option
@_library_option
@_json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def search(
    query: tuple[str, ...],
    image: str | None,
    like: str | None,
    templates: tuple[str, ...],
    show_all: bool,
    settings_file: str | None,
    within: str | None,
    model: str | None,
    device: str,
    library: str | None,
    as_json: bool,
    as_csv: bool,
    **given: Any,
) -> int:
    """Find the moments that show QUERY, best first.

    QUERY is words, or things added and avoided: '"dog running" + ./ball.jpg - 0.5:"snow"', or one after
    the other: '"a dog" then "a cat" within 30 s'.
    """
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other", "Choose one")
    text = " ".join(query) if query else None
    settings = _settings(settings_file, {**given, **({"min_score": -1000.0} if show_all else {})})
    from vclipper import output

    moments = _open(library, device).search(text, image, settings, within, model, like, templates or ("{}",))
    if as_json:
        click.echo(output.moments_json(moments))
    elif as_csv:
        click.echo(output.moments_csv(moments))
    elif moments:
        output.print_moments(moments)
    else:
        click.echo("Nothing found. Try other words, --all, or a lower --threshold.")
    return 0


# ---- keeping


@cli.command()
@_library_option
@_json_option
def info(library: str | None, as_json: bool) -> None:
    """What the library holds, what made it, which engine answers."""
    from vclipper import output

    facts = _open(library).info()
    if as_json:
        click.echo(output.info_json(facts))
    else:
        output.print_info(facts)


@cli.command(name="list")
@_library_option
@_json_option
def list_videos(library: str | None, as_json: bool) -> None:
    """The videos of the library."""
    from vclipper import output

    videos = _open(library).videos()
    if as_json:
        click.echo(output.videos_json(videos))
    elif videos:
        output.print_videos(videos)
    else:
        click.echo("The library is empty. Fill it: vclip index FOLDER")


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@_library_option
def remove(paths: tuple[str, ...], library: str | None) -> None:
    """Take videos, or folders of them, out of the library; the files stay."""
    gone = _open(library).remove(list(paths))
    frames = sum(video.frames for video in gone)
    click.echo(f"{len(gone)} {'video' if len(gone) == 1 else 'videos'} removed ({frames} frames).")


@cli.command()
@_library_option
@click.option("--contents", is_flag=True, help="Also read the video files again and compare their content.")
@click.option("--mend", is_flag=True, help="Delete leftovers and rebuild the index from the table, then check.")
def verify(library: str | None, contents: bool, mend: bool) -> int:
    """Check that table, index and files agree; say how to mend what does not."""
    from vclipper.output import print_problems

    problems = _open(library).verify(contents, mend)
    print_problems(problems)
    return int(any(problem.is_damage for problem in problems))


@cli.command()
@click.argument("pattern", default="")
def models(pattern: str) -> None:
    """List the models for `index --model` (those whose name contains PATTERN)."""
    from indexer.encoder import DEFAULT_MODEL, list_models
    from vclipper.models import DEMO_MODEL

    notes = {DEFAULT_MODEL: "  (default)", DEMO_MODEL: "  (shipped; drawn shapes only, for trying VClipper)"}
    for name in [DEMO_MODEL, *list_models()]:
        if pattern.lower() in name.lower():
            click.echo(name + notes.get(name, ""))
    click.echo("Also: local-dir:PATH (a folder with open_clip_config.json and weights), hf-hub:ORG/REPO", err=True)


if __name__ == "__main__":
    main()
