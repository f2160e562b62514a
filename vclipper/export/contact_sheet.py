"""A page that stands alone: a still of each moment with its words, for a browser or a printer."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from indexer.discover import printable
from indexer.errors import VideoError
from indexer.stills import picture_at
from vclipper.export.destination import Output
from vclipper.export.footage import Footage
from vclipper.export.moment import ExportMoment, ExportOptions

if TYPE_CHECKING:
    from PIL.Image import Image

_QUALITY = 82
#: Twice the size shown, for fine screens and printers.
_LARGEST = (480, 360)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
:root {{ --back: #fff; --text: #1b1b1f; --soft: #5c5c66; --card: #f4f4f6; --line: #d9d9df; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --back: #16161a; --text: #ececf0; --soft: #a5a5b0; --card: #212127; --line: #35353d; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; padding: 1.5rem; background: var(--back); color: var(--text); }}
body {{ font: 15px/1.4 system-ui, sans-serif; }}
h1 {{ margin: 0 0 .25rem; font-size: 1.4rem; overflow-wrap: anywhere; }}
p {{ margin: 0; }}
header p {{ margin-bottom: 1.25rem; color: var(--soft); }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }}
article {{ overflow: hidden; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }}
.still {{ position: relative; display: grid; place-items: center; aspect-ratio: 16 / 9; }}
.still {{ background: #000; color: #b9b9c2; }}
.still img {{ position: absolute; width: 100%; height: 100%; object-fit: contain; }}
.words {{ display: grid; gap: .2rem; padding: .6rem .75rem .75rem; overflow-wrap: anywhere; }}
.time {{ font-variant-numeric: tabular-nums; font-weight: 600; }}
.soft {{ color: var(--soft); font-size: .87rem; }}
@media print {{
  :root {{ --back: #fff; --text: #000; --soft: #333; --card: #fff; --line: #999; }}
  @page {{ margin: 12mm; }}
  body {{ padding: 0; font-size: 10pt; }}
  main {{ grid-template-columns: repeat(3, 1fr); gap: 4mm; }}
  article {{ break-inside: avoid; border-radius: 0; }}
  .still {{ background: #fff; print-color-adjust: exact; }}
}}
</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{count}</p>
</header>
<main>
{cards}
</main>
</body>
</html>
"""


def write_contact_sheet(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """One HTML file with its pictures inside; for a video that cannot be read, kept thumbnails."""
    cards = []
    for done, moment in enumerate(moments):
        output.on_progress(done, len(moments))
        cards.append(_card(done + 1, moment, _picture(moment, output, options.footage)))
    output.on_progress(len(moments), len(moments))
    videos = len({moment.path for moment in moments})
    count = f"{_count(len(moments), 'moment')} in {_count(videos, 'video')}"
    output.text(".html", _PAGE.format(title=_shown(options.title), count=count, cards="\n".join(cards)))


def _card(rank: int, moment: ExportMoment, jpeg: bytes | None) -> str:
    from vclipper.output import timecode

    start, end = timecode(moment.start_seconds), timecode(moment.end_seconds)
    words = _shown(f"{moment.file_name} at {timecode(_middle(moment))}")
    picture = f'<img src="{_data_uri(jpeg)}" alt="{words}">' if jpeg else "<p>no picture</p>"
    name = f'<p class="soft" title="{_shown(printable(moment.path))}">{_shown(moment.file_name)}</p>'
    lines = [
        f'<p class="time">{rank}. {start} – {end}</p>',
        f"<p>{_shown(moment.query)}</p>" if moment.query else "",
        f"<p>{_shown(moment.note)}</p>" if moment.note else "",
        "" if moment.score is None else f'<p class="soft">score {moment.score:.2f}</p>',
        name,
    ]
    return f'<article><div class="still">{picture}</div><div class="words">{"".join(lines)}</div></article>'


def _picture(moment: ExportMoment, output: Output, footage: Footage) -> bytes | None:
    """The still from the middle as a JPEG, else the thumbnail that is kept of it."""
    try:
        with footage.opened(moment.path) as path:
            return _jpeg(picture_at(path, _middle(moment)))
    except VideoError as error:
        kept = footage.thumbnail(moment.path, _middle(moment))
        output.note(f"{'with a small picture of the library' if kept else 'without a picture'}: {error.message}")
        return kept


def _middle(moment: ExportMoment) -> float:
    return (moment.start_seconds + moment.end_seconds) / 2


def _jpeg(picture: Image) -> bytes:
    buffer = io.BytesIO()
    picture.thumbnail(_LARGEST)
    picture.save(buffer, "jpeg", quality=_QUALITY)
    return buffer.getvalue()


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _shown(text: str) -> str:
    return escape(text, quote=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
