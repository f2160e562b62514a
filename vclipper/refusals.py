"""What cannot be run as it was typed, in one line: what is wrong, where, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import click

from indexer.errors import SettingError, VClipperError

_PLAIN = {
    "a valid integer range": "a whole number",
    "a valid integer": "a whole number",
    "a valid float": "a number",
}


def refusal(error: click.ClickException, program: str, arguments: Sequence[str]) -> str:
    """What click refuses, as ``WHAT. WHAT TO DO NEXT``.

    Args:
        error: as click raised it. program: what was run, such as ``vclip``.
        arguments: the whole command line, for what an error does not say.
    """
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else " ".join([program, *arguments[:1]])
    command = path.removeprefix(program).strip()
    what, then = _what_and_then(error, context, path, command, arguments)
    return " ".join(f"{what}. {then}".split())


def as_typed(
    error: VClipperError, commands: Mapping[str, click.Command], arguments: Sequence[str]
) -> VClipperError:
    """The error under the name of the option that was typed, where a setting is refused and has one."""
    command = next((commands[word] for word in arguments if word in commands), None)
    if not isinstance(error, SettingError) or command is None:
        return error
    names = (error.setting, error.setting.removesuffix("_seconds"))
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name in names:
            return error.called(_called(parameter, arguments))
    return error


def _what_and_then(
    error: click.ClickException, context: click.Context | None, path: str, command: str, arguments: Sequence[str]
) -> tuple[str, str]:
    more = f"{path} --help"
    if isinstance(error, click.NoSuchCommand):
        what = f"there is no command {' '.join([command, error.command_name]).strip()!r}"
        return what, f"{_near(error.possibilities)}All: {more}"
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error, path, command, arguments)
    if isinstance(error, click.MissingParameter):
        usage = _usage(context, path, error.param)
        return f"{command} needs {_called(error.param, arguments)}", f"Write: {usage}; more: {more}"
    if isinstance(error, click.BadParameter):
        return f"{_called(error.param, arguments)}: {_sentence(error.message)}", f"More: {more}"
    if isinstance(error, click.BadOptionUsage) and "requires" in error.message:
        return f"{error.option_name} needs a value", f"More: {more}"
    return _sentence(error.format_message()), f"Write: {_usage(context, path)}; more: {more}"


def _no_such_option(
    error: click.NoSuchOption, path: str, command: str, arguments: Sequence[str]
) -> tuple[str, str]:
    """Words that begin with a dash are taken for options unless ``--`` stands before them."""
    typed = next((one for one in arguments if one.startswith(error.option_name)), error.option_name)
    words = f"{path} -- {shlex.quote(typed)}"
    if any(character.isspace() for character in typed):
        return f"{typed!r} begins with a dash, as options do", f"Put -- before words: {words}"
    what, all_options = f"{command or path} has no option {typed}", f"All: {path} --help"
    takes_words = error.ctx and any(isinstance(one, click.Argument) for one in error.ctx.command.params)
    if typed.startswith("--") or not takes_words:
        return what, _near(error.possibilities) + all_options
    return what, f"{all_options}; if these are words: {words}"


def _near(possibilities: Sequence[str] | None) -> str:
    return f"Near it: {', '.join(possibilities)}. " if possibilities else ""


def _called(parameter: click.Parameter | None, arguments: Sequence[str]) -> str:
    """An option as it was typed, else its first name; an argument as the usage line has it."""
    if isinstance(parameter, click.Option):
        words = {word.split("=")[0] for word in arguments}
        return next((name for name in parameter.opts if name in words), parameter.opts[0])
    return parameter.human_readable_name.rstrip(".") if parameter else "a value"


def _usage(context: click.Context | None, path: str, wanted: click.Parameter | None = None) -> str:
    """The command with its arguments, and with the option that is wanted."""
    if context is None:
        return path
    pieces = [piece for piece in context.command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    if isinstance(wanted, click.Option):
        pieces = [_called(wanted, ()), wanted.make_metavar(context), *pieces]
    return " ".join([path, *pieces])


def _sentence(text: str) -> str:
    """As the middle of one: no capital, no stop at the end, plain words."""
    plain = text[:1].lower() + text[1:].rstrip(". ")
    for theirs, ours in _PLAIN.items():
        plain = plain.replace(theirs, ours)
    return plain
