"""A video file for each moment: copied from a keyframe on, or encoded anew from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.discover import printable
from indexer.errors import VideoError
from vclipper.export.clip_copy import copied_suffix, write_copy
from vclipper.export.clip_exact import write_exact
from vclipper.export.destination import Output, clip_name
from vclipper.export.moment import ExportMoment, ExportOptions
from vclipper.export.source import cuts_of


def write_clips(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """One file a moment; a failing one leaves nothing behind and does not stop the others."""
    cuts = cuts_of(moments, output, options)
    paths = [
        output.claim(clip_name(cut.moment), ".mp4" if options.exact else copied_suffix(cut.source)) for cut in cuts
    ]
    for done, (cut, path) in enumerate(zip(cuts, paths, strict=True)):
        output.on_progress(done, len(cuts))
        try:
            with output.written(path) as temporary:
                remarks = write_exact(cut, temporary) if options.exact else write_copy(cut, temporary)
        except VideoError as error:
            output.failure(cut.moment, error)
        else:
            for remark in remarks:
                output.note(f"{printable(path.relative_to(output.folder))} {remark}")
    output.on_progress(len(cuts), len(cuts))
