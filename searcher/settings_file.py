"""Search settings in a JSON file: what ``vclip bench tune`` writes and ``--settings`` names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from indexer.errors import InputError, no_json
from searcher.settings import SearchSettings

_WRITTEN_BY = "`vclip bench tune` writes one"


def read_settings(path: Path, over: Mapping[str, Any] = MappingProxyType({})) -> SearchSettings:
    """The settings of a file: bare ones, or under ``settings``, beside which tuning keeps where they are from.

    Args:
        path: of the file; a relative ``ranker_file`` in it lies beside it.
        over: settings that count in place of the file's, which may then have any value there.

    Raises:
        InputError: no such file, not JSON, or a setting that does not exist, is out of its bounds or contradicts
            ``over``.
        SettingError: ``over`` is refused without the file too.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "Check the path given to --settings") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a settings file: {no_json(error)}", _WRITTEN_BY) from None
    settings = values.get("settings", values) if isinstance(values, dict) else None
    if not isinstance(settings, dict):
        raise InputError(f"{path} is not a settings file: it holds no names with values", _WRITTEN_BY)
    if isinstance(ranker_file := settings.get("ranker_file"), str) and ranker_file:
        beside = path.parent / os.path.expanduser(ranker_file)  # noqa: PTH111 - Path.expanduser may raise
        settings = {**settings, "ranker_file": str(beside)}
    try:
        return SearchSettings.from_dict({**settings, **over})
    except InputError as error:
        SearchSettings.from_dict(over)  # what these are refused for alone is no fault of the file
        raise InputError(f"{path}: {error.message}", error.hint) from None
