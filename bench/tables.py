"""Result tables: ours beside the thesis's and the published figures, for terminal, Markdown and CSV.

The thesis's and the papers' figures are data here, each row marked with whose they are and on which split
they were measured. The thesis compares its own val figures with the papers' test figures.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.datasets import Dataset
from bench.run import FRAME_COLUMNS, WINDOW_COLUMNS, Row, split_name
from indexer.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table as RichTable

QVHIGHLIGHTS = "QVHighlights"
MEASURED, THESIS, PAPER = "measured", "thesis", "paper"
SEVERAL = "several sources"
ROW_LISTS = ("windows", "frames", "baselines")
LENGTH_COLUMNS = ("long", "middle", "short")
MAIN_COLUMNS = ("R1@0.5", "R1@0.7", "mAP", "mAP@0.5", "mAP@0.75", "mIoU")
COMPARISON_COLUMNS = ("R1@0.5", "R1@0.7", "mAP@0.5", "mAP@0.75", "mAP")
SPLIT_NOTE = (
    "The thesis compares its val figures with the papers' test figures; rows of different splits are not "
    "strictly comparable."
)
MEASURED_NOTE = (
    "Ours are measured on the curves named above, the thesis's on CLIP ViT-B-32 frames of the videos: the "
    "method is the same, the features are not."
)


def _rows(columns: Sequence[str], lines: Iterable[tuple[Any, ...]], origin: str, split: str) -> tuple[Row, ...]:
    return tuple(Row(line[0], line[1], dict(zip(columns, line[2:], strict=True)), origin, split) for line in lines)


THESIS_WINDOWS = _rows(
    WINDOW_COLUMNS,
    [
        ("vc1", "none", 35.34, 23.16, 16.97, 28.53, 16.61, 34.42, 20.65, 17.17, 2.82),
        ("vc1", "norm", 37.26, 25.61, 21.97, 38.95, 21.72, 34.59, 19.60, 26.19, 4.95),
        ("vc1", "adjust_norm", 45.14, 30.05, 26.32, 44.46, 25.77, 45.23, 36.76, 23.45, 3.64),
        ("vc1", "log_smooth_norm", 57.38, 36.14, 28.48, 51.62, 27.68, 51.38, 33.36, 30.91, 1.93),
        ("vc2", "none", 46.86, 29.52, 22.53, 38.08, 21.82, 46.17, 33.08, 19.88, 2.46),
        ("vc2", "norm", 47.32, 29.98, 24.22, 41.83, 23.62, 45.37, 33.22, 22.75, 3.12),
        ("vc2", "adjust_norm", 41.03, 25.55, 24.99, 43.53, 24.21, 41.99, 35.97, 22.29, 3.93),
        ("vc2", "log_smooth_norm", 50.69, 33.36, 25.19, 42.93, 24.76, 48.03, 33.64, 25.22, 2.47),
    ],
    THESIS,
    "val",
)

THESIS_FRAMES = _rows(
    FRAME_COLUMNS,
    [
        ("vc1", "none", 0.757, 0.723, 0.615, 0.585, 0.460, 0.429, 0.210),
        ("vc1", "norm", 0.781, 0.723, 0.629, 0.625, 0.490, 0.473, 0.211),
        ("vc1", "adjust_norm", 0.776, 0.759, 0.631, 0.635, 0.505, 0.484, 0.249),
        ("vc1", "log_smooth_norm", 0.798, 0.700, 0.693, 0.641, 0.517, 0.538, 0.292),
        ("vc2", "none", 0.772, 0.703, 0.653, 0.596, 0.481, 0.483, 0.277),
        ("vc2", "norm", 0.800, 0.666, 0.696, 0.615, 0.501, 0.531, 0.301),
        ("vc2", "adjust_norm", 0.776, 0.728, 0.666, 0.625, 0.507, 0.516, 0.292),
        ("vc2", "log_smooth_norm", 0.804, 0.711, 0.691, 0.647, 0.527, 0.544, 0.314),
    ],
    THESIS,
    "val",
)

#: The thesis's baseline table (figure 10): the papers' own figures on the test split.
PUBLISHED = _rows(
    COMPARISON_COLUMNS,
    [
        ("Moment-DETR w/PT", "video + audio", 59.78, 40.33, 60.51, 35.36, 36.14),
        ("BAM-DETR", "video + audio", 64.07, 48.12, 65.61, 47.51, 46.91),
        ("QD-DETR", "video + audio", 63.06, 45.10, 63.04, 40.10, 40.19),
        ("UniVTG w/PT", "video + audio", 65.43, 50.06, 64.06, 45.02, 43.63),
        ("CG-DETR", "video", 65.43, 48.38, 64.51, 42.77, 42.86),
        ("QD-DETR", "video", 62.40, 44.98, 62.52, 39.88, 39.86),
        ("UniVTG", "video", 58.86, 40.86, 57.60, 35.59, 35.47),
        ("SD+C+SW", "zero-shot", 40.24, 25.94, 41.74, 24.11, 24.82),
        ("SD+C+SW w/PT", "zero-shot", 42.12, 27.89, 43.00, 24.68, 25.50),
    ],
    PAPER,
    "test",
)

#: Figures published after or outside the thesis's table; only what the papers state.
PUBLISHED_LATER = (
    Row(
        "shots + watershed (Diwan 2022)",
        "zero-shot",
        {"R1@0.5": 48.33, "R1@0.7": 30.96, "mAP": 27.96},
        PAPER,
        "test",
    ),
    Row(
        "VTG-GPT (Xu 2024)",
        "zero-shot",
        {"R1@0.5": 59.03, "R1@0.7": 38.90, "mAP@0.5": 56.11, "mAP@0.75": 35.44, "mAP": 35.57},
        PAPER,
        "val",
    ),
    Row("Self-SiMS", "training-free", {"R1@0.5": 61.0, "R1@0.7": 43.2}, PAPER, "val"),
    Row("REZE", "training-free", {"mAP": 42.46}, PAPER, "val"),
    Row("best supervised", "supervised", {"R1@0.5": 78.5, "mAP": 58.8}, PAPER, "test"),
)


@dataclass(frozen=True)
class Table:
    """A titled table whose lines are :class:`bench.run.Row`; missing figures show as a dash.

    Where rows were measured on several sources, each says which is its own.

    Attributes:
        digits: decimals shown.
        note: what a reader must know to read it right; printed below.
        head: names of the first two columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    digits: int = 2
    note: str = ""
    head: tuple[str, str] = ("method", "postprocessing")

    def header(self) -> list[str]:
        """Column names."""
        return [*self.head, "figures", "split", *self.columns]

    def cells(self) -> list[list[str]]:
        """One list of texts a row."""
        whose = _whose if len(_sources(self.rows)) > 1 else _origin
        return [
            [row.name, row.postprocess, whose(row), row.split, *(self._figure(row, c) for c in self.columns)]
            for row in self.rows
        ]

    def _figure(self, row: Row, column: str) -> str:
        value = row.values.get(column)
        return "–" if value is None else f"{value:.{self.digits}f}"

    def markdown(self) -> str:
        """A Markdown table under its title."""
        head = self.header()
        rule = ["---"] * 4 + ["---:"] * len(self.columns)
        lines = [head, rule, *self.cells()]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        note = f"\n\n{self.note}" if self.note else ""
        return f"**{self.title}**\n\n{body}{note}\n"

    def csv(self) -> str:
        """Comma-separated values with a header line; missing figures are empty."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header())
        writer.writerows([["" if cell == "–" else cell for cell in line] for line in self.cells()])
        return out.getvalue()

    def rich(self) -> RichTable:
        """The table for a terminal."""
        from rich.table import Table as RichTable

        table = RichTable(title=self.title, caption=self.note or None, caption_justify="left")
        for place, name in enumerate(self.header()):
            table.add_column(name, justify="left" if place < 4 else "right", no_wrap=place not in (0, 2))
        for row, cells in zip(self.rows, self.cells(), strict=True):
            table.add_row(*cells, style="" if row.origin == MEASURED else "dim")
        return table


def _origin(row: Row) -> str:
    return {MEASURED: "measured here", THESIS: "from the thesis", PAPER: "from its paper"}[row.origin]


def _whose(row: Row) -> str:
    return f"{_origin(row)}: {row.source}" if row.source else _origin(row)


def _sources(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row.source for row in rows if row.origin == MEASURED))


def beside(measured: Sequence[Row], published: Sequence[Row]) -> tuple[Row, ...]:
    """Each measured row followed by the published row of the same name and postprocessing, then the rest."""
    partner = {(row.name, row.postprocess): row for row in published}
    lines: list[Row] = []
    for row in measured:
        lines.append(row)
        other = partner.pop((row.name, row.postprocess), None)
        if other is not None:
            lines.append(other)
    return (*lines, *partner.values())


def frame_table(measured: Sequence[Row], on: str = QVHIGHLIGHTS) -> Table:
    """Frames per video (thesis figure 18); ``on`` says what was measured on."""
    rows = beside(measured, THESIS_FRAMES) if _comparable(on) else tuple(measured)
    return Table(f"Frames per video: {on}", FRAME_COLUMNS, rows, 3, _measured_note(on))


def window_table(measured: Sequence[Row], on: str = QVHIGHLIGHTS) -> Table:
    """Windows per video (thesis section 4.2.2)."""
    rows = beside(measured, THESIS_WINDOWS) if _comparable(on) else tuple(measured)
    return Table(f"Windows per video: {on}", MAIN_COLUMNS, rows, 2, _measured_note(on))


def length_table(measured: Sequence[Row], on: str = QVHIGHLIGHTS) -> Table:
    """MAP by the moments' length (thesis section 4.2.2)."""
    rows = beside(measured, THESIS_WINDOWS) if _comparable(on) else tuple(measured)
    return Table(f"Windows by length, mAP: {on}", LENGTH_COLUMNS, rows, 2, _measured_note(on))


def comparison_table(measured: Sequence[Row], on: str = QVHIGHLIGHTS) -> Table:
    """Ours, the thesis's best rows and published systems (thesis section 4.4)."""
    best = [row for row in THESIS_WINDOWS if row.postprocess == "log_smooth_norm"]
    ranked = sorted(measured, key=lambda row: -row.values.get("R1@0.5", 0.0))
    rows = (*ranked, *best, *PUBLISHED, *PUBLISHED_LATER)
    return Table(f"Comparison: {on}", COMPARISON_COLUMNS, rows, 2, SPLIT_NOTE, ("system", "kind"))


def baseline_table(measured: Sequence[Row], on: str = QVHIGHLIGHTS) -> Table:
    """Baselines on the same curves."""
    return Table(f"Baselines: {on}", WINDOW_COLUMNS, tuple(measured), 2, "", ("baseline", "after"))


def _comparable(on: str) -> bool:
    """Whether the thesis's and the papers' figures are about the same data set."""
    return on.startswith(QVHIGHLIGHTS)


def _measured_note(on: str) -> str:
    return MEASURED_NOTE if _comparable(on) else ""


def described(dataset: Dataset, curves: str) -> str:
    """What rows were measured on: the public split where it is one, and the curves."""
    split = split_name(dataset)
    name = f"{dataset.name} {split}" if split in ("train", "val", "test") else dataset.source.name
    return f"{name}, {curves}"


def corpus_markdown(report: Mapping[str, float], source: str, videos: int, queries: int) -> str:
    """Corpus-level recalls (:meth:`bench.corpus.CorpusScores.report`) as a Markdown table."""
    ranks = sorted({int(name.split("@")[1].split()[0]) for name in report if "R@" in name})
    lines = [("found", *(f"R@{k}" for k in ranks)), ("---", *("---:" for _ in ranks))]
    for what, suffix in (("video", ""), ("moment", " IoU 0.5"), ("moment", " IoU 0.7")):
        lines.append((f"{what}{suffix}", *(f"{report[f'{what} R@{k}{suffix}']:.2f}" for k in ranks)))
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    title = f"**Corpus level: {queries} queries over {videos} videos ({source})**"
    return f"{title}\n\n{body}\n\nMedian search: {report['median search ms']:.0f} ms.\n"


# --- results files ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """Measured rows as they travel between commands.

    Attributes:
        source: what they were measured on (:func:`described`).
        windows, frames, baselines: table rows; empty where not measured.
        provenance: how they were made.
    """

    source: str
    windows: tuple[Row, ...] = ()
    frames: tuple[Row, ...] = ()
    baselines: tuple[Row, ...] = ()
    provenance: Mapping[str, Any] | None = None

    def tables(self) -> list[Table]:
        """Every table that these rows fill."""
        found = []
        if self.frames:
            found.append(frame_table(self.frames, self._on(self.frames)))
        if self.windows:
            on = self._on(self.windows)
            found += [window_table(self.windows, on), length_table(self.windows, on)]
        if self.baselines:
            found.append(baseline_table(self.baselines, self._on(self.baselines)))
        compared = (*self.windows, *self.baselines)
        if compared and _comparable(on := self._on(compared)):
            found.append(comparison_table(compared, on))
        return found

    def _on(self, rows: Sequence[Row]) -> str:
        """What to name in the title of these rows' table."""
        return _joint([source or self.source for source in _sources(rows)])

    def labelled(self, name: str) -> tuple[Row, ...]:
        """One of the lists of rows, each with what it was measured on."""
        return tuple(replace(row, source=row.source or self.source) for row in getattr(self, name))

    @classmethod
    def together(cls, parts: Sequence[Results]) -> Results:
        """The rows of several files: of the same line on the same source the later file's count."""
        return cls(
            source=_joint([part.source for part in parts]),
            provenance={"files": [{"source": part.source, **(part.provenance or {})} for part in parts]},
            **{name: _latest([part.labelled(name) for part in parts]) for name in ROW_LISTS},
        )


def _joint(sources: Sequence[str]) -> str:
    if len(set(sources)) <= 1:
        return next(iter(sources), "")
    return f"{QVHIGHLIGHTS}, {SEVERAL}" if all(map(_comparable, sources)) else SEVERAL


def _latest(files: Sequence[Sequence[Row]]) -> tuple[Row, ...]:
    rows: list[Row] = []
    for file in files:
        lines = {_line(row) for row in file}
        rows = [*(row for row in rows if _line(row) not in lines), *file]
    return tuple(rows)


def _line(row: Row) -> tuple[str, str, str]:
    return row.name, row.postprocess, row.source


def save_results(path: Path, results: Results) -> None:
    """Write rows as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")


def read_results(path: Path) -> Results:
    """Read what :func:`save_results` wrote.

    Raises:
        InputError: no such file, or not one of these.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(Row(**row) for row in record[name]) for name in ROW_LISTS}
        return Results(source=record["source"], provenance=record.get("provenance"), **lists)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "bench run, tune and baselines write it: --results") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a results file: {error}") from None


def cutoff_markdown(cutoffs: Sequence[Mapping[str, float]], report: Mapping[str, float]) -> str:
    """ "Nothing found": the ROC of the cut-off on the score, as a Markdown table."""
    lines = [
        "",
        "**Nothing found: the first score of queries whose video is there, against the same with it taken out**",
        "",
        "| min_score | false alarms | queries answered | right first answers kept |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for one in cutoffs:
        shares = ("false alarms", "answered", "right first answers kept")
        lines.append(f"| {one['min_score']:.2f} | " + " | ".join(f"{100 * one[s]:.1f} %" for s in shares) + " |")
    auc, right = (report[n] for n in ("nothing-found AUC", "nothing-found AUC, first answer right"))
    return "\n".join([*lines, "", f"AUC {auc:.3f}; over the queries whose first answer is right {right:.3f}."])
