"""Exports as files: what is written, what is refused, nothing half-written."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import vclipper.library
from indexer.discover import path_of
from indexer.errors import InputError, VideoError
from tests.fakes import load_fake, make_film, picture
from tests.media import Recipe, make
from vclipper import cli
from vclipper.export import FORMATS, ExportMoment, ExportOptions, export, format_called
from vclipper.export.destination import safe_name
from vclipper.export.saved import read_moments

MOMENTS = [
    ExportMoment(Path("/films/a b/é,f.mp4"), 1.5, 3, 'a "dog", running', 2.3, "first\nline"),
    ExportMoment(Path("/films/x.mkv"), 100, 4000.25),
]


def written(tmp_path, format_name: str, moments=MOMENTS, **options) -> str:
    done = export(moments, format_name, tmp_path / "out", ExportOptions(**options))
    assert len(done.files) == 1
    return done.files[0].read_text(encoding="utf-8")


def test_csv_and_json_say_the_same(tmp_path):
    as_json = json.loads(written(tmp_path, "json"))
    as_csv = list(csv.DictReader(written(tmp_path, "csv").splitlines(keepends=True)))
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in as_json] == as_csv
    assert as_json[0]["query"] == 'a "dog", running'
    assert (as_json[1]["start_seconds"], as_json[1]["end_seconds"]) == (100, 4000.25)


@pytest.mark.parametrize(
    ("ending", "name"), [("m3u8", "m3u"), ("xml", "premiere"), ("edl", "edl"), ("csv", "csv")]
)
def test_a_format_is_known_by_the_ending_of_its_file_too(ending, name):
    assert format_called(ending).name == name


@pytest.mark.parametrize("name", ["csv", "json", "m3u", "mpv"])
def test_a_file_or_a_folder_can_be_the_target(film, tmp_path, name):
    suffix, moments = FORMATS[name].suffix, [ExportMoment(film, 1, 2)]
    assert export(moments, name, tmp_path / f"mine{suffix}").files == (tmp_path / f"mine{suffix}",)
    assert export(moments, name, tmp_path / "dir", ExportOptions(title="a/b: c")).files == (
        tmp_path / "dir" / f"a_b_ c{suffix}",
    )


def test_existing_files_stay_unless_told_otherwise(tmp_path):
    target = tmp_path / "list.csv"
    target.write_text("mine")
    with pytest.raises(InputError, match=r"is there already\. Replace it with --overwrite"):
        export(MOMENTS, "csv", target)
    assert target.read_text() == "mine"
    export(MOMENTS, "csv", target, ExportOptions(overwrite=True))
    assert target.read_text().startswith("path,")
    assert [file.name for file in tmp_path.iterdir()] == ["list.csv"]


def test_a_source_is_never_replaced(tmp_path):
    source = tmp_path / "film.csv"
    source.write_text("a video, for this test")
    with pytest.raises(InputError, match="is one of the videos"):
        export([ExportMoment(source, 0, 1)], "csv", tmp_path, ExportOptions(overwrite=True, title="film"))
    assert source.read_text() == "a video, for this test"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((MOMENTS, "avi", "out"), "'avi' is no export format. There are: "),
        (([], "csv", "out"), "there are no moments"),
        ((MOMENTS, "csv", "/proc/none"), "/proc/none cannot be written"),
        ((MOMENTS, "csv", "/dev/null/x"), "cannot be written"),
    ],
)
def test_what_cannot_be_exported_is_said(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        export(*arguments)
    assert says in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == []


@pytest.mark.parametrize("times", [(-1, 2), (2, 2), (3, 2), (0, float("nan")), (0, float("inf"))])
def test_times_that_are_no_stretch_are_refused(times):
    with pytest.raises(InputError, match="is no moment"):
        ExportMoment(Path("a.mp4"), *times)


@pytest.mark.parametrize("format_name", ["csv", "json", "html"])
def test_formats_without_padding_say_so(tmp_path, format_name):
    done = export([MOMENTS[0]], format_name, tmp_path, ExportOptions(pad_seconds=1))
    assert f"{format_name} has the moments as they are, without padding" in done.notes


# ---- playlists, pages and chapters


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films") / "<b>'quoted' & more"
    return make_film(folder / "a=b; #1.mp4", [("red", 2), ("blue", 3)])


def test_m3u_starts_and_stops_each_file(film, tmp_path):
    moments = [ExportMoment(film, 1.5, 3, 'a "dog", running', 2.3, "first\nline"), ExportMoment(film, 4, 4.5)]
    lines = written(tmp_path, "m3u", moments, pad_seconds=1).splitlines()
    assert lines[0] == "#EXTM3U"
    assert lines[2:6] == [
        '#EXTINF:4,a "dog", running (score 2.30, first line)',
        "#EXTVLCOPT:start-time=0.500",
        "#EXTVLCOPT:stop-time=4.000",
        str(film),
    ]
    # 4.5 + 1 is behind the end of the video: 5
    assert lines[7:9] == ["#EXTVLCOPT:start-time=3.000", "#EXTVLCOPT:stop-time=5.000"]


def test_mpv_counts_bytes(film, tmp_path):
    path = tmp_path / "é,f.mp4"
    path.write_bytes(film.read_bytes())
    _, line = written(tmp_path, "mpv", [ExportMoment(path, 1.5, 3, 'a "dog", running')]).splitlines()
    # é is two bytes
    assert line == f'%{len(str(path)) + 1}%{path},start=1.500,length=1.500,title=%16%a "dog", running'


@pytest.mark.parametrize("format_name", ["m3u", "mpv", "ffmetadata", "vtt"])
def test_players_are_sent_to_nothing_that_is_not_there(film, tmp_path, format_name):
    moments = [ExportMoment(film, 4, 5), ExportMoment(film, 400, 900), ExportMoment(tmp_path / "away.mp4", 0, 1)]
    done = export(moments, format_name, tmp_path / "out", ExportOptions(pad_seconds=100))
    text = done.files[0].read_text(encoding="utf-8")
    assert re.search("stop-time=5.000|start=0.000,length=5.000|END=5000\n|--> 00:00:05.000", text)
    assert done.failed == (
        f"400.0-900.0 s: {film} has nothing at 400.0 s",
        f"0.0-1.0 s: {tmp_path / 'away.mp4'} does not exist",
    )
    with pytest.raises(VideoError, match="has nothing at"):
        export(moments[1:], format_name, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("format_name", ["m3u", "mpv", "ffmetadata", "vtt"])
def test_players_find_the_frame_where_sound_begins_before_picture(tmp_path, suffix, format_name):
    # 25 frames a second, the first of them at 38 / 25 = 1.52 s; sound from about 0.02 s on
    recipe = Recipe(suffix=suffix, start_ticks=38, audio_seconds=9, width=64, height=48)
    path = make(tmp_path / f"late{suffix}", recipe).path
    text = written(tmp_path, format_name, [ExportMoment(path, 5.01, 7)])
    (told,) = re.findall(r"(?:start-time=|start=|START=|^00:00:)([\d.]+)", text, re.MULTILINE)
    told_seconds = float(told) / (1000 if format_name == "ffmetadata" else 1)
    with av.open(str(path)) as container:
        start = 0 if format_name == "mpv" else container.start_time / 1_000_000  # mpv takes the file's own times
        times = (float(frame.time) - start for frame in container.decode(video=0))
        assert next(number for number, seconds in enumerate(times) if seconds >= told_seconds) == 125  # 5 × 25


def test_the_contact_sheet_stands_alone_and_escapes_everything(film, tmp_path):
    evil = "<script>alert(\"1\")</script> & 'x'"
    moments = [ExportMoment(film, 2.5, 4, evil, 1.5, evil), ExportMoment(tmp_path / "away.mp4", 0, 1)]
    page = written(tmp_path, "html", moments, title=evil)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#x27;x&#x27;") == 4  # title twice
    assert "&lt;b&gt;&#x27;quoted&#x27; &amp; more" in page
    assert not re.search(
        r"(https?:)?//(?!www\.w3)", re.sub(r"data:image/jpeg;base64,[^\"]*", "", page).replace("</", "")
    )
    assert page.count("<article>") == 2
    assert page.count("no picture") == 1
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.size == (64, 48)
    red, _, blue = picture.getpixel((32, 24))
    assert blue > 200 > 60 > red


def test_chapters_for_ffmpeg(film, tmp_path):
    moments = [ExportMoment(film, 3, 4, "b=1; #x\\y", 1), ExportMoment(film, 1, 3.5, "a")]
    done = export(moments, "ffmetadata", tmp_path)
    assert [file.name for file in done.files] == ["a=b; #1.ffmeta"]
    chapters = av.open(str(done.files[0]), format="ffmetadata").chapters()
    # the first chapter ends where the second begins
    assert [(c["start"], c["end"], c["metadata"]["title"]) for c in chapters] == [
        (1000, 3000, "a"),
        (3000, 4000, "b=1; #x\\y (score 1.00)"),
    ]


def test_chapters_as_webvtt(film, tmp_path):
    # three frames, at 0, 3600.52 and 3601.04 s
    long = make(tmp_path / film.name, Recipe(frame_ticks=(0, 90013, 90026), width=64, height=48)).path
    other = ExportMoment(long, 3600.7, 3601.04, "x --> y")
    done = export([ExportMoment(film, 1, 2, "a & b", 1), other], "vtt", tmp_path)
    assert [file.name for file in done.files] == ["a=b; #1.vtt", "a=b; #1-2.vtt"]
    assert done.files[0].read_text() == "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.000\na &amp; b (score 1.00)\n"
    assert "01:00:00.520 --> 01:00:01.040\nx --&gt; y" in done.files[1].read_text()


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("clips", "mpv")])
def test_no_score_is_not_a_score_of_zero(film, tmp_path, name):
    rows = f"path,start_seconds,end_seconds,note\n{film},1,2,\n{film},3,4,good\n"
    assert not re.search(r"score\W+0|,0\.0,|\(\)", written(tmp_path, name, read_moments(rows, "x")))


# ---- names


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_name_that_is_not_utf_8_is_exported(film, tmp_path, name):
    odd = tmp_path / os.fsdecode(b"b\xffd.mp4")
    odd.write_bytes(film.read_bytes())
    done = export([ExportMoment(odd, 1, 2, "x")], name, tmp_path / "out")
    assert done.ok
    for file in done.files:
        file.name.encode()
    if name != "clips":
        done.files[0].read_text(encoding="utf-8")


ODD_NAMES = (b"two\nlines.mp4", b"a\tb  c.mp4 ", b"b\xffd.mp4", b"quo\"te's.mp4", "Screen\u202fShot.mp4".encode())


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_in_playlists_are_found_again(film, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(film.read_bytes())
    (playlist,) = export([ExportMoment(path, 1, 2), ExportMoment(path, 3, 4)], "m3u", tmp_path / "out").files
    lines = playlist.read_text(encoding="utf-8").split("\n")
    assert [line[:8] for line in lines[2:5]] == ["#EXTINF:", "#EXTVLCO", "#EXTVLCO"]
    assert len(lines) == 2 + 2 * 4 + 1
    place = lines[5]
    read = os.fsdecode(unquote_to_bytes(place.removeprefix("file://"))) if place.startswith("file:") else place
    assert Path(read) == path


ESCAPE = b"esc\x1b[31mred.mp4"


@pytest.mark.parametrize(
    "name", [*ODD_NAMES, ESCAPE, b"line\rback.mp4", rb"caf\xe9.mp4", b"file:.mp4", b"% %41.mp4"]
)
@pytest.mark.parametrize("format_name", ["csv", "json"])
def test_odd_names_in_lists_are_read_back(tmp_path, format_name, name):
    moments = [ExportMoment(tmp_path / os.fsdecode(name), 1, 2, "x")]
    assert read_moments(written(tmp_path, format_name, moments), "x") == moments


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_tear_no_list_of_lines_apart(film, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(film.read_bytes())
    moments = [ExportMoment(path, 1, 2), ExportMoment(path, 3, 4)]
    edl = export(moments, "edl", tmp_path).files[0].read_text(encoding="utf-8")
    assert len(edl.splitlines()) == len(_plain_edl(film, tmp_path).splitlines())
    cues = export(moments, "vtt", tmp_path).files[0].read_text(encoding="utf-8").split("\n\n")[1:]
    assert [len(cue.strip().splitlines()) for cue in cues] == [3, 3]


def test_an_edl_names_a_file_with_a_backslash_as_it_is(film, tmp_path):
    path = tmp_path / "a\\b.mov"
    path.write_bytes(film.read_bytes())
    assert f"* FROM FILE: {path}\n" in written(tmp_path, "edl", [ExportMoment(path, 1, 2)])


def _plain_edl(film, tmp_path) -> str:
    moments = [ExportMoment(film, 1, 2), ExportMoment(film, 3, 4)]
    return export(moments, "edl", tmp_path / "plain").files[0].read_text(encoding="utf-8")


@given(st.text())
def test_any_text_becomes_a_safe_name(text):
    name = safe_name(text)
    assert 1 <= len(name.encode()) <= 201
    assert name == name.strip()
    assert not set(name) & set('<>:"/\\|?*\n\t\0')
    assert not name.endswith(".")
    assert name.split(".")[0].lower() not in ("con", "nul", "com1")


def test_names_of_any_script_stay_as_they_are():
    assert safe_name("Größe 雪 🐶") == "Größe 雪 🐶"
    assert safe_name("con.txt") == "_con.txt"
    assert safe_name("..") == "_"


# ---- saved moments


def test_what_was_saved_is_read_back(tmp_path):
    for name in ("csv", "json"):
        assert read_moments(written(tmp_path, name), "x") == MOMENTS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "x holds no moments"),
        ("[]", "x holds no moments"),
        ("{}", "x holds no moments"),
        ("[1, 2]", "x, moment 1 is no object"),
        ("[{]", "x is not JSON"),
        ("[" * 100_000, "x is not JSON"),
        ('[{"path": "a.mp4"}]', "x, moment 1 has no start_seconds"),
        ("path,start_seconds\na.mp4,1", "x, moment 1 has no end_seconds"),
        (
            "path,start_seconds,end_seconds\na.mp4,1,2\na.mp4,one,2",
            "x, moment 2 has a time or score that is no number",
        ),
        ('[{"path": "a.mp4", "start_seconds": 2, "end_seconds": 1}]', "a.mp4 from 2.0 to 1.0 s is no moment"),
        ('[{"path": "a.mp4", "start_seconds": null, "end_seconds": 1}]', "no number"),
    ],
)
def test_what_cannot_be_read_is_said(text, says):
    with pytest.raises(InputError) as caught:
        read_moments(text, "x")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- the command line


@pytest.fixture
def vclip(tmp_path, film, monkeypatch, capfd):
    """Run a command in a library of one film; gives exit code, stdout, stderr."""
    monkeypatch.setattr(vclipper.library.Library.__init__, "__defaults__", ("cpu", load_fake))
    monkeypatch.setenv("VCLIP_LIBRARY", str(tmp_path / "lib"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        return (code, *capfd.readouterr())

    assert run("index", film)[0] == 0
    return run


def test_search_exports_what_it_finds(vclip, tmp_path):
    sharp = ("--method", "vc1", "--postprocess", "norm", "--threshold", "0.9")
    code, out, err = vclip("search", "blue", *sharp, "--export", "cuts", "--format", "clips,edl", "--exact")
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if line.startswith(("wrote", "note", "failed"))] == [
        "wrote cuts/a=b; #1_00-00-02.000_00-00-05.000.mp4",
        "wrote cuts/blue.edl",
    ]
    assert "LOC: 01:00:00:00 GREEN   blue" in (tmp_path / "cuts" / "blue.edl").read_text()


@pytest.mark.parametrize("saved", ["json", "csv"])
def test_saved_results_are_exported(vclip, tmp_path, saved, monkeypatch):
    _, out, _ = vclip("search", "blue", "--top", 1, f"--{saved}")
    (tmp_path / "moments").write_text(out)
    code, out, err = vclip("export", "moments", "cuts.otio")
    assert (code, out, err) == (0, "wrote cuts.otio\n", "")
    assert '"name": "blue"' in (tmp_path / "cuts.otio").read_text()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper((tmp_path / "moments").open("rb")))
    assert vclip("export", "-", "cuts", "--format", "m3u")[1] == "wrote cuts/blue.m3u8\n"


@pytest.mark.parametrize("name", [*ODD_NAMES, ESCAPE])
@pytest.mark.parametrize("saved", ["json", "csv"])
def test_odd_names_go_through_pipes_as_they_are(vclip, tmp_path, saved, name):
    path = tmp_path / "odd" / os.fsdecode(name)
    path.parent.mkdir()
    make_film(tmp_path / "plain.mp4", [("yellow", 4)]).rename(path)
    vclip("index", path)
    (tmp_path / "moments").write_text(vclip("search", "yellow", "--top", 1, f"--{saved}")[1], encoding="utf-8")
    found = read_moments((tmp_path / "moments").read_text(encoding="utf-8"), "x")
    assert [moment.path for moment in found] == [path]
    assert vclip("export", "moments", "cuts")[0] == 0
    listed = vclip("list", f"--{saved}")[1]
    rows = csv.DictReader(io.StringIO(listed)) if saved == "csv" else json.loads(listed)
    assert path in [path_of(row["path"] if saved == "csv" else row["paths"][0]) for row in rows]


def test_a_query_that_is_not_utf_8_is_exported(vclip, tmp_path):
    image = picture(tmp_path / "caf\udce9.png", "blue")
    assert vclip("search", "--image", image, "--export", "l.csv")[0] == 0
    assert r"caf\xe9.png" in (tmp_path / "l.csv").read_text(encoding="utf-8")


def test_a_terminal_is_not_steered_by_names(vclip, tmp_path, monkeypatch):
    path = tmp_path / os.fsdecode(ESCAPE)
    make_film(path, [("yellow", 4)])
    vclip("index", path)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _, out, _ = vclip("list", "--csv")
    assert r"esc\x1b[31mred.mp4" in out
    assert out.count("\n") == 3  # the header and two videos


def test_a_contact_sheet_shows_thumbnails_of_what_is_away(vclip, film, tmp_path):
    away = film.rename(tmp_path / "elsewhere.mp4")
    try:
        code, out, err = vclip("search", "blue", "--top", 1, "--export", "sheet.html")
    finally:
        away.rename(film)
    assert code == 0 and "with a small picture of the library" in out + err
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', (tmp_path / "sheet.html").read_text())
    red, _, blue = Image.open(io.BytesIO(base64.b64decode(data))).getpixel((32, 24))
    assert blue > 200 > 60 > red


def test_json_stays_clean_beside_an_export(vclip):
    _, out, err = vclip("search", "blue", "--json", "--export", "list.csv")
    assert json.loads(out)[0]["query"] == "blue"
    assert err == "wrote list.csv\n"


@pytest.mark.parametrize(
    ("target", "formats", "says"),
    [
        ("e1.m3u8", "edl", "e1.m3u8 ends as files of m3u do, which is not among --format edl."),
        ("new/cuts.edl", "clips", "cuts.edl ends as files of edl do, which is not among --format clips."),
        ("cuts.otio", "otio,edl", "cuts.otio is one file, --format otio,edl are several. Name a folder"),
    ],
)
def test_an_ending_that_contradicts_the_format_is_refused(vclip, film, tmp_path, target, formats, says):
    (tmp_path / "m.json").write_text(json.dumps([{"path": str(film), "start_seconds": 0, "end_seconds": 1}]))
    for arguments in (["export", "m.json", target], ["search", "blue", "--export", target]):
        code, out, err = vclip(*arguments, "--format", formats)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert says in err
    assert not (tmp_path / target).exists()
    (tmp_path / target).mkdir(parents=True)  # a folder that is there may be called so
    assert vclip("export", "m.json", target, "--format", formats)[0] == 0


def test_a_failed_moment_makes_the_exit_code_1(vclip, film, tmp_path):
    rows = [{"path": str(path), "start_seconds": 0, "end_seconds": 1} for path in (film, "/away.mp4")]
    (tmp_path / "two.json").write_text(json.dumps(rows))
    code, out, err = vclip("export", "two.json", "cuts")
    assert code == 1
    assert out.startswith("wrote cuts/")
    assert err == "failed: 0.0-1.0 s: /away.mp4 does not exist\n"


def test_a_format_that_cannot_hold_a_moment_stops_no_other(vclip, tmp_path):
    fast = make_film(tmp_path / "fast.mp4", [("red", 1)], frame_rate=120)
    (tmp_path / "m.csv").write_text(f"path,start_seconds,end_seconds\n{fast},0,0.5\n")
    code, out, err = vclip("export", "m.csv", "cuts", "--format", "otio,premiere,fcpxml")
    assert (code, out) == (1, "wrote cuts/moments.otio\nwrote cuts/moments.fcpxml\n")
    assert err.startswith(f"failed: premiere: {fast} has 120 frames a second") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["search", "blue", "--export", "x", "--format", "avi"],
            "'avi' is no export format. There are: clips, otio",
        ),
        (["search", "blue", "--export", "x", "--pad", "-1"], "--pad is -1"),
        (["search", "blue", "--export", "x", "--format", ""], "'' is no export format. There are: clips, otio"),
        (["search", "blue", "--export", "-"], "an export cannot go to standard output. Name a file or a folder"),
        (["export", "none.json", "x"], "none.json: No such file"),
        (["export", ".", "x"], ".: Is a directory"),
        (["export", "/dev/null", "x"], "/dev/null holds no moments"),
    ],
)
def test_known_errors_are_one_line(vclip, arguments, says):
    code, out, err = vclip(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"vclip: {says}")
    assert err.count("\n") == 1
