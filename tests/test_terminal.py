"""Pictures in the terminal, and the plot beside a search."""

from __future__ import annotations

import importlib.util

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import vclipper.library
from tests.fakes import load_fake, make_film, picture
from vclipper import cli, terminal
from vclipper.terminal import Picture, curve_lines


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "one $5.mp4", [("lime", 20), ("red", 10), ("blue", 20)])
    make_film(folder / "two.mp4", [("yellow", 10)])
    return folder


@pytest.fixture
def vclip(tmp_path, films, monkeypatch, capfd):
    """Run a command in a library of two films; gives exit code, stdout, stderr."""
    monkeypatch.setattr(vclipper.library.Library.__init__, "__defaults__", ("cpu", load_fake))
    monkeypatch.setenv("VCLIP_LIBRARY", str(tmp_path / "lib"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        return (code, *capfd.readouterr())

    assert run("index", films)[0] == 0
    return run


def plain_lines(drawn: Picture, width: int) -> list[str]:
    """Without colours."""
    return [click.unstyle(line) for line in curve_lines(drawn, width)]


SHARP = ("--method", "vc1", "--postprocess", "norm", "--threshold", "0.9")


# ---- curves


def test_a_curve_goes_from_corner_to_corner():
    lines = plain_lines(Picture([0.0, 0.5, 1.0], 2.0, 4.0), 40)
    assert lines[0].split()[0] == "1.00"
    assert lines[6].split()[0] == "0.00"
    # 33 columns of curve right of 7 of scale: down left, up right
    assert lines[6][7] not in (" ", "\u2800")
    assert lines[0].rstrip()[-1] not in "0 " and len(lines[0].rstrip()) == 40
    assert lines[7].split() == ["00:00.0", "00:01.0", "00:02.0", "00:03.0", "00:04.0"] or len(lines[7]) == 40


def test_bars_and_cuts_stand_where_they_are():
    lines = plain_lines(Picture([0.0] * 10, 1.0, 10.0, 0.0, [5.0], [(2.5, 5.0, "here")]), 47)
    cuts, bar = lines[7], lines[9]
    # 40 columns for 10 s, 7 of scale before them
    assert cuts.index("╵") == 7 + 20
    assert (bar.index("━"), bar.rindex("━")) == (7 + 10, 7 + 19)
    assert bar.endswith(" here")


@pytest.mark.parametrize("span", [(0.0, 10.0), (9.9, 10.0), (0.0, 9.0), (3.0, 9.0), (0.0, 0.1)])
def test_a_label_finds_room(span):
    label = "00:00.0 – 00:10.0  score 1.00"
    (bar,) = plain_lines(Picture([0.0, 1.0], 5.0, 10.0, 0.0, [], [(*span, label)]), 60)[8:]
    assert label in bar
    assert "━" in bar
    assert len(bar) <= 60


@pytest.mark.parametrize(("width", "labels"), [(80, 5), (60, 4), (40, 3), (28, 2)])
def test_times_of_the_axis_stand_apart(width, labels):
    # 7 of scale and labels of 7 characters: 53 columns hold labels at 0, 17, 35 and 46, but not at 39 and 46
    axis = plain_lines(Picture([0.0, 1.0], 34.0, 68.0), width)[7].split()
    assert (axis[0], axis[-1]) == ("00:00.0", "01:08.0")
    assert [len(label) for label in axis] == [7] * labels


def test_a_bar_stays_where_its_label_finds_no_room_beside_it():
    label = "00:51.0 – 00:55.0  score 1.23"
    bar, below = plain_lines(Picture([0.0, 1.0], 34.0, 68.0, 0.0, [], [(30, 34, label)]), 40)[8:]
    # 33 columns for 68 s: 30 s are 14, 34 s are 16
    assert bar == f"{'1':>6} {' ' * 14}━━"
    assert below.strip() == label


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=50),
    st.floats(0.01, 1e5),
    st.integers(40, 200),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=3),
)
def test_no_line_is_wider_than_the_terminal(values, duration, width, spans):
    bars = [(min(span) * duration, max(span) * duration, "a label") for span in spans]
    picture = Picture(values, duration / len(values), duration, 0.0, [bar[0] for bar in bars], bars)
    lines = plain_lines(picture, width)
    assert all(len(line) <= width for line in lines)
    assert len(lines) == 7 + bool(bars) + 1 + len(bars)


def test_show_tells_where_a_video_answers(vclip):
    code, out, err = vclip("show", "one $5.mp4", "--query", "red")
    assert (code, err) == (0, "")
    title, *lines = out.splitlines()
    assert title.endswith("one $5.mp4: red (smooth_norm)")
    assert lines[0].split()[0] == "1.00"
    # red from 20 to 30 s; cuts at 20 and 30 of 50 s in 73 columns
    (cuts,) = [line for line in lines if "cuts" in line]
    assert [place - 7 for place, char in enumerate(cuts) if char == "╵"] == [int(20 / 50 * 73), int(30 / 50 * 73)]
    assert any("━" in line and "score" in line for line in lines)


def test_show_without_a_query_tells_where_a_video_changes(vclip, tmp_path):
    code, out, _ = vclip("show", "one $5.mp4")
    assert code == 0
    assert "likeness of each frame to the one before it" in out.splitlines()[0]
    assert out.count("╵") == 2
    assert vclip("show", "two.mp4")[0] == 0
    assert vclip("show", "one $5.mp4", "--image", picture(tmp_path / "b.png", "blue"))[0] == 0


def test_show_takes_a_part_of_a_name_that_one_video_has(vclip):
    assert vclip("show", "TWO") == vclip("show", "two.mp4")
    assert vclip("show", "one $")[1] == vclip("show", "one $5.mp4")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", ""], "the name of the video is empty. Give a path, the end of one, or a part of a name"),
        (["show", "none.mp4"], "none.mp4 is not in the library"),
        (["show", ".mp4"], ".mp4 could be 2 videos: FILMS/one $5.mp4, FILMS/two.mp4. Give a path, or more of it"),
        (["show", "two.mp4", "--query", "red", "--like", "two.mp4@0"], "give one thing to search for"),
        (["show", "two.mp4", "--query", ""], "the query is empty"),
        (["search", "red", "--plot", "x.jpg"], "x.jpg does not end with .png"),
    ],
)
def test_known_errors_are_one_line(vclip, films, arguments, says):
    code, out, err = vclip(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"vclip: {says.replace('FILMS', str(films))}")
    assert err.count("\n") == 1


# ---- plots


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_plot_draws_the_first_videos(vclip, tmp_path):
    code, out, _ = vclip("search", "red", *SHARP, "--plot", "curves.png")
    assert code == 0
    assert out.endswith("wrote curves.png\n")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG"
        # 6.6 inches at 300 dots; the moments' bars are orange (E69F00)
        assert image.width == 1980
        assert (230, 159, 0) in {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
    code, _, err = vclip("search", "red", "--plot", "curves.png")
    assert (code, err.count("\n")) == (1, 1)
    assert "curves.png is there already" in err
    assert vclip("search", "red", "--plot", "curves.png", "--overwrite")[0] == 0


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_missing_folders_of_outputs_are_made_and_said(vclip, tmp_path):
    _, out, _ = vclip("search", "red", *SHARP, "--plot", "new/one/curves.png", "--export", "new/two/list.csv")
    assert out.splitlines()[-4:] == [
        "wrote new/one/curves.png",
        f"note: the folder {tmp_path}/new/one is new",
        "wrote new/two/list.csv",
        f"note: the folder {tmp_path}/new/two is new",
    ]
    assert vclip("search", "red", "--plot", "new/one/b.png")[1].endswith("wrote new/one/b.png\n")


def test_a_missing_matplotlib_names_the_pip_line(vclip, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "matplotlib" else real(name, *a)
    )
    code, out, err = vclip("search", "red", "--plot", "x.png")
    assert (code, out) == (1, "")
    assert err == "vclip: plots need matplotlib. Install it: pip install 'vclipper[bench]'\n"


# ---- stills


def test_stills_need_a_terminal(vclip):
    code, out, err = vclip("search", "red", *SHARP, "--thumbnails")
    assert code == 0
    assert "one $5.mp4" in out
    assert err == "Stills need a terminal with colours; `--export FILE.html` writes a page with them.\n"


def test_stills_are_shown_in_a_terminal(vclip, films, monkeypatch):
    from rich.console import Console

    monkeypatch.setattr(
        terminal, "console", lambda: Console(force_terminal=True, color_system="truecolor", width=80)
    )
    _, out, _ = vclip("search", "red", *SHARP, "--thumbnails", "--top", 1)
    assert "1  00:20.0 – 00:30.0  " in out
    still = out.partition("1  00:20.0")[2].splitlines()[1:]
    # 64 × 48 in 40 columns: 15 rows; cells are taken to be twice as high as wide
    assert 10 <= sum(bool(line.strip()) for line in still) <= 20
