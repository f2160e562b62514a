"""Options that several commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from indexer.errors import InputError
from indexer.settings import BACKENDS, DEFAULT_FPS, DEFAULT_MODEL
from searcher.settings import DEFAULT_MIN_SCORE, Knob, SearchSettings, knobs

if TYPE_CHECKING:
    from searcher.filters import VideoFilter
    from vclipper.library import Library

_DEFAULT_WORDS = {
    "threshold": "by method and postprocessing",
    "ranker_file": "the parameters that come with VClipper",
    "min_score": f"{DEFAULT_MIN_SCORE}, in libraries of 300 frames or more",
}
_GREEK = {"λ": "--lambda", "β": "--beta", "α": "--alpha", "p": "-p", "M": "-M"}

#: Longer than any command's first sentence.
_LONGEST_HELP = 200

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _PathName(click.ParamType[str]):
    name = "path"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is, unless it is empty."""
        return value or self.fail("the path is empty", param, ctx)


#: Of an option that names a file, a folder or a library.
PATH = _PathName()


def open_library(
    library: str | None, device: str = "auto", backend: str = "auto", *, is_device_here: bool = True
) -> Library:
    """The library that the options name; its modules are imported here, not before.

    Args:
        library, device, backend: as typed.
        is_device_here: False where a cluster has the device, and this machine may have none.

    Raises:
        InputError, ModelError: see :func:`indexer.encoder.demand_devices`.
    """
    from indexer.encoder import demand_devices
    from vclipper.library import Library

    opened = Library.open(library, device, backend)
    if is_device_here:
        demand_devices(device)
    return opened


def library_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--library DIR``; a folder or ``s3://bucket/prefix``."""
    return click.option(
        "--library",
        type=PATH,
        metavar="DIR",
        help="The library: a folder or s3://BUCKET/PREFIX.  [default: $VCLIP_LIBRARY or the user data folder]",
    )(command)


def device_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--device``."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda[:N][,…]|all|mps",
        help="Where the model runs; several GPUs (cuda:0,cuda:1) or all of them index side by side.",
    )(command)


def backend_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--backend``."""
    return click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        default="auto",
        show_default=True,
        metavar="NAME",
        help=f"What runs the model: {', '.join(BACKENDS)}. All but auto and torch are for the CPU.",
    )(command)


def new_library_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--model`` and ``--fps``, which a library keeps for good."""
    command = click.option(
        "--model", help=f"OpenCLIP model of a new library; see `vclip models`.  [default: {DEFAULT_MODEL}]"
    )(command)
    return click.option(
        "--fps", type=float, help=f"Sampled frames per second of a new library.  [default: {DEFAULT_FPS:g}]"
    )(command)


def shortcut_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--tolerance`` and ``--no-loop-filter``."""
    command = click.option(
        "--no-loop-filter",
        is_flag=True,
        help="Decode H.264, HEVC and VP8 without smoothing blocks: a fifth faster, pictures a little off.",
    )(command)
    return click.option(
        "--tolerance",
        type=float,
        default=0.0,
        show_default=True,
        metavar="SECONDS",
        help="Take a picture up to this much off its time where that is faster; at most half the sampling period.",
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")(command)


def csv_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--csv``."""
    return click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")(command)


def demand_one_form(as_json: bool, as_csv: bool) -> None:
    """Refuse ``--json`` with ``--csv``."""
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other", "Choose one")


@contextlib.contextmanager
def needs(extra: str, *modules: str) -> Iterator[None]:
    """Around imports of what an extra brings: a module that is missing names the extra, as InputError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in modules:
            raise
        raise InputError(f"this needs {error.name}", f"Install it: pip install 'vclipper[{extra}]'") from None


class WholeSentences(click.Group):
    """A group whose help wraps the sentence about each command, which click would cut.

    Attributes:
        LAZY: names of commands that are imported when they are asked for, each with its sentence.
    """

    LAZY: ClassVar[Mapping[str, str]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and one sentence each."""
        rows = [(name, self._sentence(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _sentence(self, name: str) -> str:
        return self.LAZY.get(name) or self.commands[name].get_short_help_str(_LONGEST_HELP)


class SectionedCommand(click.Command):
    """A command whose help lists options under headings; what no heading claims comes last."""

    sections: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each section."""
        options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        rows = {o.name: row for o in options if (row := o.get_help_record(ctx))}
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([rows.pop(name) for name in names if name in rows])
        with formatter.section("Other options"):
            formatter.write_dl(list(rows.values()))


def _option_of(knob: Knob) -> Decorator:
    """A click option for a search setting; None means "not given"."""
    names = [f"--{knob.name.replace('_', '-')}"]
    if knob.symbol in _GREEK:
        names.append(_GREEK[knob.symbol])
    is_file = knob.kind is str and not knob.choices
    kind: Any = click.Choice(knob.choices) if knob.choices else PATH if is_file else knob.kind
    default = _DEFAULT_WORDS.get(knob.name, knob.default)
    symbol = f" ({knob.symbol})" if knob.symbol else ""
    sentence = knob.help[0].upper() + knob.help[1:]
    if knob.kind is bool:
        flags = f"--{knob.name}/--no-{knob.name}"
        usual = flags.split("/")[not default]
        return click.option(flags, knob.name, default=None, help=f"{sentence}.  [default: {usual}]")
    metavar = "FILE" if is_file else None
    return click.option(
        *names, knob.name, type=kind, metavar=metavar, help=f"{sentence}{symbol}.  [default: {default}]"
    )


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each field of ``SearchSettings``."""
    for knob in reversed(knobs()):
        command = _option_of(knob)(command)
    return command


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--in``, ``--min-length``, ``--max-length``, ``--after``, ``--before``: see :func:`filter_of`."""
    options = (
        (
            "--in",
            "within",
            "GLOB",
            'Only videos whose path matches or lies in this folder, e.g. "holiday/*"; several add up.',
        ),
        ("--min-length", "min_length", "TIME", "Only videos at least this long: seconds, M:SS or H:MM:SS."),
        ("--max-length", "max_length", "TIME", "Only videos at most this long."),
        (
            "--after",
            "after",
            "DATE",
            "Only videos recorded since: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DD HH:MM.",
        ),
        ("--before", "before", "DATE", "Only videos recorded before."),
    )
    for flag, name, metavar, text in reversed(options):
        command = click.option(flag, name, metavar=metavar, help=text, multiple=flag == "--in")(command)
    return command


def filter_of(
    within: tuple[str, ...], min_length: str | None, max_length: str | None, after: str | None, before: str | None
) -> VideoFilter | None:
    """The filter that the options describe; None when none was given."""
    if not within and all(value is None for value in (min_length, max_length, after, before)):
        return None
    from searcher.filters import VideoFilter, parse_date
    from vclipper.naming import parse_time

    return VideoFilter(
        within,
        _read("--min-length", parse_time, min_length),
        _read("--max-length", parse_time, max_length),
        _read("--after", parse_date, after),
        _read("--before", parse_date, before),
    )


def _read(option: str, parse: Callable[[str], float], text: str | None) -> float | None:
    """An option's value; what is wrong with it is said with the option's name."""
    try:
        return None if text is None else parse(text)
    except InputError as error:
        raise InputError(f"{option}: {error.message}", error.hint) from None


def settings_of(file: str | None, given: dict[str, Any]) -> SearchSettings:
    """The defaults, over them the file's values, over them the options."""
    from searcher.settings_file import read_settings

    over = {name: value for name, value in given.items() if value is not None}
    return read_settings(Path(file), over) if file else SearchSettings(**over)
