"""The commands as a user types them: output, exit codes, one clear line for what goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vclipper.library
from indexer.errors import InputError
from indexer.settings import IndexSettings
from searcher.settings import SearchSettings, knobs
from tests.fakes import load_fake, make_film, open_library, picture
from tests.rights import needs_modes, run_with_modes
from vclipper import cli


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "one.mp4", [("red", 6), ("lime", 8), ("blue", 6)])
    make_film(folder / "two.mp4", [("yellow", 10), ("red", 4)])
    return folder


@pytest.fixture(autouse=True)
def colours(monkeypatch):
    """Every library that the commands open uses the colour encoder."""
    monkeypatch.setattr(vclipper.library.Library.__init__, "__defaults__", ("cpu", load_fake))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("VCLIP_DEBUG", raising=False)


@pytest.fixture
def lib(tmp_path, monkeypatch):
    monkeypatch.setenv("VCLIP_LIBRARY", str(tmp_path / "lib"))
    return tmp_path / "lib"


@pytest.fixture
def vclip(capfd):
    """Run a command; gives exit code, stdout, stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def indexed(films, tmp_path_factory):
    """A library of the films, made once."""
    library = tmp_path_factory.mktemp("indexed") / "lib"
    open_library(library).index([films])
    return library


@pytest.fixture
def filled(lib, indexed):
    """A copy of it for one test, which may change it."""
    return shutil.copytree(indexed, lib)


def test_index_reports_and_exits_0(lib, films, vclip):
    code, out, err = vclip("index", films)
    assert (code, err) == (0, "")
    assert out.startswith("2 added\n17 frames of 34 s video in ")
    assert "× real time" in out
    assert vclip("index", films)[1] == "2 skipped\n"


def test_index_names_failures_and_exits_1(lib, films, tmp_path, vclip):
    (tmp_path / "bad.mp4").write_text("no video")
    code, out, _ = vclip("index", films, tmp_path / "bad.mp4")
    assert code == 1
    assert "2 added, 1 failed" in out
    assert out.count("bad.mp4") == 1


def test_what_is_indexed_in_part_is_counted_once(lib, films, tmp_path, vclip):
    whole = make_film(tmp_path / "whole.mkv", [("red", 20), ("blue", 20)])
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "bad.mp4").write_text("no video")
    _, out, _ = vclip("index", tmp_path)
    assert out.splitlines()[0] == "2 added (1 of them in part), 1 failed"
    assert "  partial  " in out


def test_links_to_nothing_and_pictures_are_said(lib, films, tmp_path, vclip):
    (tmp_path / "away.mp4").symlink_to("/nowhere/a.mp4")
    picture(tmp_path / "still.jpg", "red")
    code, out, _ = vclip("index", tmp_path / "away.mp4", tmp_path / "still.jpg", "--json")
    assert code == 1
    assert [failed["note"] for failed in json.loads(out)["failed"]] == [
        "is a link to /nowhere/a.mp4, where nothing is",
        f"{tmp_path}/still.jpg is not a video but a picture. To search with it: vclip search --image FILE",
    ]


def test_an_untidy_path_names_the_same_file(lib, films, vclip):
    vclip("index", films)
    assert vclip("index", f"{films}//nowhere/../one.mp4")[:2] == (0, "1 skipped\n")
    assert vclip("remove", f"{films}//nowhere/../one.mp4")[1] == "1 video removed (10 frames).\n"


def test_a_failure_names_the_file_once_and_wraps_its_reason(lib, tmp_path, vclip, monkeypatch):
    for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}.items():  # as at a terminal
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").write_text("no video")
    (tmp_path / f"{'long ' * 15}name.mp4").write_bytes(b"")
    lines = vclip("index", ".")[1].splitlines()
    at = lines.index("  failed  a.mp4")
    assert lines[at + 1 : at + 3] == [
        "          cannot be opened as a video: Invalid data found when processing input.",
        "          It may be damaged, cut off, or no video at all",
    ]
    assert f"  failed  {'long ' * 15}name.mp4" in lines  # a path is never broken
    assert "          is empty (0 bytes). Copy or download it again" in lines
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = vclip("index", ".")
    assert "  failed  a.mp4: cannot be opened as a video" in out
    assert out.endswith("What is unchanged is tried again with: vclip index --force FILE\n")


def test_no_line_is_wrapped_in_a_pipe(lib, tmp_path, vclip, monkeypatch):
    monkeypatch.setenv("VCLIP_LIBRARY", str(folder := tmp_path / f"{'long ' * 15}name"))
    (tmp_path / "a.mp4").write_text("no video")
    make_film(tmp_path / "b.mp4", [("red", 2)])
    _, out, _ = vclip("index", tmp_path)
    failed = "cannot be opened as a video: Invalid data found when processing input. It may be damaged"
    assert f"/a.mp4: {failed}, cut off, or no video at all\n" in out
    assert f"{folder}\n" in vclip("info")[1]
    next((folder / "index").glob("*.faiss")).unlink()
    assert "name/index/" in vclip("verify")[1].splitlines()[0]


def test_a_longer_path_is_left_whole(lib, tmp_path, vclip):
    film = make_film(tmp_path / "f.mov.mp4", [("red", 2)])
    vclip("index", tmp_path)
    shutil.copyfile(film, tmp_path / "f.mov")
    assert f"f.mov: same content as {film}\n" in vclip("index", tmp_path)[1]


def test_index_json(lib, films, vclip):
    code, out, _ = vclip("index", films, "--json")
    report = json.loads(out)
    assert code == 0
    assert [Path(n["path"]).name for n in report["added"]] in (["one.mp4", "two.mp4"], ["two.mp4", "one.mp4"])
    assert (report["frames"], report["interrupted"]) == (17, False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["index", "/nowhere"], "no such file or folder"),
        (["index", "https://a.org/b.mp4"], "vclip: https://a.org/b.mp4 is an address, not a path. Download it"),
        (["index", "file:///b.mp4"], "vclip: file:///b.mp4 is an address, not a path. Give its path"),
        (["watch", "https://a.org/b"], "https://a.org/b is an address"),
        (["search", "--image", "https://a.org/b.jpg"], "https://a.org/b.jpg is an address"),
        (["search", '"red" + https://a.org/b.jpg'], "https://a.org/b.jpg is an address"),
        (["export", "https://a.org/b.json", "x.csv"], "https://a.org/b.json is an address"),
        (["index", "FILMS", "--fps", "0"], "--fps is 0"),
        (["index", "FILMS", "--batch-size", "-1"], "vclip: --batch-size is -1"),
        (["index", "FILMS", "--decode-timeout", "0"], "vclip: --decode-timeout is 0"),
        (["index", "FILMS", "--tolerance", "-1"], "vclip: --tolerance is -1"),
        (["index", "FILMS", "--tolerance", "3"], "vclip: --tolerance is 3"),
        (["watch", "FILMS", "--settle", "-1"], "vclip: --settle is -1"),
        (["search", "red", "--top", "-3"], "vclip: --top is -3. It must lie between 1 and 100000"),
        (["search", ""], "the query is empty"),
        (["search"], "one thing to search for"),
        (["search", "red", "--image", "x.png"], "one thing to search for"),
        (["search", "--image", "/nowhere.png"], "no such file"),
        (["search", '"red'], "at character 1: the quote that opens here is not closed"),
        (["search", "--like", "one.mp4"], "one.mp4: a time is missing"),
        (["search", "red", "--template", "a photo"], "a template has no {}"),
        (["search", "red", "--json", "--csv"], "exclude each other"),
        (["list", "--json", "--csv"], "exclude each other"),
        (["search", "red", "--all", "--min-score", "3"], "--all and --min-score exclude each other"),
        (["search", "--like", "one.mp4@x"], "'x' is not a time"),
        (["search", "--like", "one.mp4@1:00"], "lasts 20.0 s"),
        (["search", "--like", "none.mp4@1"], "none.mp4 is not in the library"),
        (["search", "red", "--threshold", "2"], "vclip: --threshold is 2. It must lie between -1"),
        (["search", "red", "-M", "4"], "vclip: -M is 4. It must be odd"),
        (["search", "red", "--in", "*.avi"], "no video matches --in '*.avi'"),
        (["search", "red", "--min-length", "2:00"], "no video matches --min-length 120"),
        (["search", "red", "--min-length", "20", "--max-length", "10"], "is more than --max-length 10"),
        (["search", "red", "--after", "2024-02", "--before", "2024-01"], "does not lie before"),
        (["search", "red", "--after", "soon"], "vclip: --after: 'soon' is not a date"),
        (["search", "red", "--min-length", "x"], "vclip: --min-length: 'x' is not a time"),
        (["search", "red", "--min-length", "0:99"], "vclip: --min-length: '0:99' is not a time"),
        (["search", "red", "--min-length", "1:60:00"], "vclip: --min-length: '1:60:00' is not a time"),
        (["search", "red", "--export", "x.otoi"], "no format's files are called x.otoi. There are ."),
        (["reindex", "--index-type", "tree"], "there is no index type 'tree'"),
        (["index", "FILMS", "--index-type", "tree"], "there is no index type 'tree'"),
        (["search", "red", "--model", "other"], "made with model"),
        (["search", "red", "--settings", "/nowhere.json"], "No such file"),
        (["search", "red", "--ranker-file", "/nowhere.json"], "/nowhere.json does not exist"),
        (
            ["search", "red", "--ranker-file", "/nowhere.json", "--min-score", "900"],
            "/nowhere.json does not exist",
        ),
        (["search", "red", "--device", "gpu"], "--device gpu is no device"),
        (["remove", "/nowhere.mp4"], "is not in the library"),
        (["index", "FILMS", "--fps", "1"], "made with --fps 0.5, not 1"),
        (["index", "FILMS", "--model", "other"], "made with model"),
    ],
)
def test_known_errors_are_one_line_and_exit_1(filled, films, vclip, arguments, says):
    code, out, err = vclip(*[films if a == "FILMS" else a for a in arguments])
    assert code == 1
    assert out == ""
    assert err.startswith("vclip: ")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [["search", "red"], ["info"], ["list"], ["verify"], ["remove", "x"]])
def test_no_library_is_one_line(lib, vclip, command):
    code, _, err = vclip(*command)
    assert code == 1
    assert err.startswith(f"vclip: no library at {lib}. Make one: vclip index FOLDER")
    assert not lib.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("serch red", "there is no command 'serch'. Near it: search, serve. All: vclip --help"),
        ("bench scor", "there is no command 'bench scor'. Near it: score, corpus. All: vclip bench --help"),
        (
            "search red --setings x",
            "search has no option --setings. Near it: --settings, --in. All: vclip search --help",
        ),
        ("--nonsense", "vclip has no option --nonsense. All: vclip --help"),
        ("info -x", "info has no option -x. All: vclip info --help\n"),
        ("search red --method vc3", "--method: 'vc3' is not one of 'vc1', 'vc2', 'proposals'. More: vclip search"),
        ("search red --top x", "--top: 'x' is not a whole number. More: vclip search --help"),
        ("search red --lambda x", "--lambda: 'x' is not a number. More: vclip search --help"),
        ("search red --top", "--top needs a value. More: vclip search --help"),
        ("index", "index needs PATHS. Write: vclip index PATHS...; more: vclip index --help"),
        ("relink a", "relink needs NEW. Write: vclip relink OLD NEW; more: vclip relink --help"),
        ("bench corpus", "bench corpus needs --annotations. Write: vclip bench corpus --annotations PATH; more: "),
        ("info more", "got unexpected extra argument (more). Write: vclip info; more: vclip info --help"),
        (
            "search -snow",
            "search has no option -snow. All: vclip search --help; if these are words: vclip search -- ",
        ),
    ],
)
def test_what_cannot_be_parsed_is_one_line_and_exits_2(lib, vclip, arguments, says):
    code, out, err = vclip(*arguments.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"vclip: {says}")


def test_a_query_that_begins_with_a_dash_is_told_how(filled, vclip):
    code, _, err = vclip("search", '- "red" + "blue"')
    assert code == 2
    assert err.endswith("""Put -- before words: vclip search -- '- "red" + "blue"'\n""")
    assert vclip("search", "--", '- "red" + "blue"')[0] == 0


def test_a_setting_of_a_file_keeps_its_name(filled, tmp_path, vclip):
    (tmp_path / "s.json").write_text('{"top": -3}')
    code, _, err = vclip("search", "red", "--settings", tmp_path / "s.json")
    assert (code, err) == (1, f"vclip: {tmp_path}/s.json: top is -3. It must lie between 1 and 100000\n")


def test_the_python_api_names_settings():
    with pytest.raises(InputError, match=r"^top is -3\."):
        SearchSettings(top=-3)
    with pytest.raises(InputError, match=r"^batch_size is -1\."):
        IndexSettings(batch_size=-1)


def test_debug_shows_where(lib, vclip, monkeypatch):
    from indexer.errors import LibraryError

    monkeypatch.setenv("VCLIP_DEBUG", "1")
    with pytest.raises(LibraryError):
        vclip("search", "red")


def test_unexpected_errors_are_one_line_too(filled, vclip, monkeypatch):
    monkeypatch.setattr(vclipper.library.Library, "info", lambda self: 1 / 0)
    code, _, err = vclip("info")
    assert code == 1
    assert err == "vclip: unexpected ZeroDivisionError: division by zero (VCLIP_DEBUG=1 shows where)\n"


def test_search_prints_a_table_within_80_columns(filled, films, vclip):
    code, out, _ = vclip("search", "lime", "--method", "vc1", "--postprocess", "norm", "--threshold", "0.9")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == f"in {films}/"
    assert lines[4].split() == ["1", "00:06.0", "00:14.0", "8.0", "s", lines[4].split()[5], "one.mp4"]
    assert all(len(line) <= 80 for line in lines[1:])


def test_search_json_and_csv_say_the_same(filled, films, vclip):
    arguments = (
        "search",
        "red",
        "--method",
        "vc1",
        "--postprocess",
        "norm",
        "--lambda",
        "0.9",
        "--top",
        "5",
        "--no-fold",
    )
    as_json = json.loads(vclip(*arguments, "--json")[1])
    as_csv = list(csv.DictReader(io.StringIO(vclip(*arguments, "--csv")[1])))
    assert [m["rank"] for m in as_json] == [1, 2]
    where = sorted((m["path"], m["start_seconds"], m["end_seconds"]) for m in as_json)
    assert where == [(str(films / "one.mp4"), 0, 6), (str(films / "two.mp4"), 10, 14)]
    assert [{k: str(v) for k, v in m.items()} for m in as_json] == [dict(m) for m in as_csv]


def test_search_by_image(filled, tmp_path, vclip):
    image = picture(tmp_path / "q.png", "yellow")
    _, out, _ = vclip(
        "search", "--image", image, "--method", "vc1", "--postprocess", "norm", "--threshold", "0.9", "--csv"
    )
    assert out.splitlines()[1].endswith("two.mp4")


def test_more_like_a_moment(filled, vclip):
    found = vclip(
        "search",
        "--like",
        "one.mp4@0:02.5",
        "--method",
        "vc1",
        "--postprocess",
        "norm",
        "--threshold",
        "0.9",
        "--json",
    )[1]
    (moment,) = json.loads(found)  # red; one.mp4's own first 6 s are the example
    assert (Path(moment["path"]).name, moment["start_seconds"], moment["end_seconds"]) == ("two.mp4", 10, 14)


def test_sums_and_sequences(filled, tmp_path, vclip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "y.png", "yellow")
    sharp = ("--method", "vc1", "--postprocess", "norm", "--threshold", "0.9", "--json")
    assert json.loads(vclip("search", '"yellow" + ./y.png - 0.2:"blue"', *sharp)[1])[0]["path"].endswith("two.mp4")
    pairs = json.loads(vclip("search", '"red" then "blue" within 10 s', *sharp)[1])
    # one.mp4: red 0-6, lime 6-14, blue 14-20: 8 s between
    assert [(Path(p["path"]).name, p["start_seconds"], p["end_seconds"]) for p in pairs] == [("one.mp4", 0, 20)]
    assert json.loads(vclip("search", '"red" then "blue" within 7 s', *sharp)[1]) == []
    assert json.loads(vclip("search", '"blue" then "red"', *sharp)[1]) == []


def test_the_help_names_every_form_of_a_date(vclip):
    forms = vclip("search", "red", "--after", "soon")[2].split("Write ")[1]
    assert "".join(forms.split()) in "".join(vclip("search", "--help")[1].split())


def test_per_video_and_min_score(filled, vclip, tmp_path):
    arguments = (
        "search",
        '"red" + "blue"',
        "--method",
        "vc1",
        "--postprocess",
        "norm",
        "--threshold",
        "0.8",
        "--no-fold",
        "--json",
    )
    everything = json.loads(vclip(*arguments)[1])
    assert max(sum(m["path"] == v["path"] for m in everything) for v in everything) > 1
    one_each = json.loads(vclip(*arguments, "--per-video", "1")[1])
    assert len({m["path"] for m in one_each}) == len(one_each) == 2
    best = everything[0]["score"]
    assert len(json.loads(vclip(*arguments, "--min-score", str(best - 0.001))[1])) == 1
    assert json.loads(vclip(*arguments, "--min-score", "900")[1]) == []
    high = tmp_path / "high.json"
    high.write_text(json.dumps({"min_score": 900}))
    assert json.loads(vclip(*arguments, "--settings", high)[1]) == []
    assert json.loads(vclip(*arguments, "--settings", high, "--all")[1]) == everything


def test_words_need_no_quotes(filled, vclip):
    arguments = ("--method", "vc1", "--postprocess", "norm", "--json")
    together = vclip("search", "lime - blue", *arguments)[1]
    assert json.loads(together)
    assert vclip("search", "lime", *arguments, "-", "blue")[1] == together


def test_an_empty_library_that_is_being_filled_says_so(lib, tmp_path, vclip):
    from indexer.lock import writing

    (tmp_path / "films").mkdir()
    vclip("index", tmp_path / "films")
    with writing(lib, "vclip index"):
        assert "is empty: `vclip index` (process" in vclip("search", "red")[2]


def test_nothing_found(filled, vclip):
    code, out, _ = vclip("search", "cyan", "--method", "vc1", "--postprocess", "none", "--threshold", "0.99")
    assert (code, out) == (0, "Nothing found. Try other words, fewer filters, a lower --min-score, or --all.\n")
    assert (
        vclip("search", "cyan", "--method", "vc1", "--postprocess", "none", "--threshold", "0.99", "--json")[1]
        == "[]\n"
    )


def test_settings_file_and_options_over_it(filled, tmp_path, vclip):
    file = tmp_path / "s.json"
    file.write_text(
        json.dumps(
            {"settings": {"method": "vc1", "postprocess": "norm", "threshold": 0.9, "top": 1}, "found_by": "hand"}
        )
    )
    assert len(json.loads(vclip("search", "red", "--settings", file, "--json")[1])) == 1
    assert len(json.loads(vclip("search", "red", "--settings", file, "--top", "3", "--no-fold", "--json")[1])) == 2
    file.write_text("[")
    assert "is not a settings file" in vclip("search", "red", "--settings", file)[2]
    file.write_text('{"top": 1,\n "fold" }')
    assert (
        "is not a settings file: it is no JSON at line 2, column 9. "
        in vclip("search", "red", "--settings", file)[2]
    )
    file.write_bytes(b"\xff")
    assert "is not a settings file: it is no text in UTF-8. " in vclip("search", "red", "--settings", file)[2]
    for no_settings in ("[1]", "3", '{"settings": [1]}', "null"):
        file.write_text(no_settings)
        said = vclip("search", "red", "--settings", file)[2]
        assert said.startswith(f"vclip: {file} is not a settings file: it holds no names with values. ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not a file of fitted rankers: it is no JSON at line 1, column 2. "),
        ("{}", "is not a file of fitted rankers: it lacks what stands under `rankers`. "),
        ("[1]", "is not a file of fitted rankers: it lacks what stands under `rankers`. "),
        ('{"rankers": {"curve": {}, "frames": {}}}', ": the parameters of a ranker lack 'features'. "),
        (
            '{"rankers": {"curve": {"features": [], "bias": 1}, "frames": {}}}',
            ": a ranker's parameters are no numbers in rows. ",
        ),
    ],
)
def test_a_ranker_file_is_refused_in_our_words(filled, tmp_path, vclip, text, says):
    (tmp_path / "r.json").write_text(text)
    said = vclip("search", "red", "--ranker-file", tmp_path / "r.json")[2]
    assert said.startswith(f"vclip: {tmp_path}/r.json")
    assert says in said


def test_the_command_runs_as_a_module():
    command = [sys.executable, "-m", "vclipper", "serch"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "vclipper: there is no command 'serch'. Near it: search, serve. All: python -m vclipper --help\n",
    )


def test_of_a_settings_file_only_what_counts_is_checked(filled, tmp_path, vclip):
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"top": 0, "ranker_file": "mine.json"}))
    refused = vclip("search", "red", "--settings", file)
    assert refused[0] == 1
    assert refused[2] == f"vclip: {file}: top is 0. It must lie between 1 and 100000\n"
    said = vclip("search", "red", "--settings", file, "--top", "1", "--ranker", "formula")[2]
    assert said.startswith(f"vclip: {file}: ranker_file is of no use to the ranker 'formula'.")
    assert vclip("search", "red", "--settings", file, "--top", "-3")[2].startswith("vclip: --top is -3.")
    file.write_text(json.dumps({"ranker": "formula"}))
    said = vclip("search", "red", "--settings", file, "--ranker-file", file)[2]
    assert said.startswith(f"vclip: {file}: ranker_file is of no use to the ranker 'formula'.")
    said = vclip("search", "red", "--settings", file, "--ranker-file", file, "--ranker", "formula")[2]
    assert said.startswith("vclip: --ranker-file is of no use to the ranker 'formula'.")
    file.write_text(json.dumps({"top": 0}))
    assert len(json.loads(vclip("search", "red", "--settings", file, "--top", "1", "--json")[1])) == 1


def test_in_filters(filled, vclip):
    assert "two.mp4" not in vclip("search", "red", "--in", "one.*", "--csv")[1]
    assert "one.mp4" not in vclip("search", "red", "--max-length", "0:14.5", "--csv")[1]  # 20 s and 14 s
    assert "two.mp4" in vclip("search", "red", "--after", "2001", "--csv")[1]


def test_several_places_add_up(filled, films, vclip):
    found = vclip("search", "red", "--in", "one.mp4", "--in", "two.*", "--no-fold", "--json")[1]
    assert {Path(moment["path"]).name for moment in json.loads(found)} == {"one.mp4", "two.mp4"}


@pytest.mark.parametrize("words", [["red"], []])
def test_a_pattern_that_the_shell_has_expanded_is_refused(filled, films, vclip, monkeypatch, words):
    monkeypatch.chdir(films.parent)
    expanded = sorted(f"{films.name}/{file.name}" for file in films.iterdir())
    code, out, err = vclip("search", *words, "--in", *expanded)
    assert (code, out) == (1, "")
    assert err == (
        f"vclip: {films.name}/two.mp4 is a file or folder, but stands among the words of the query. "
        f'The shell puts names in the place of a pattern; quote it: --in "{films.name}/*.mp4"\n'
    )
    (films.parent / "red").touch()
    assert vclip("search", "lime", "-", "red", "--in", expanded[0])[0] == 0  # a word, whatever lies here


def test_a_copy_is_shown_under_the_path_that_was_asked_for(filled, films, tmp_path, vclip):
    copy = tmp_path / "copies" / "again.mp4"
    copy.parent.mkdir()
    shutil.copy(films / "two.mp4", copy)
    vclip("index", copy)
    for place in (copy, films / "two.mp4"):
        found = json.loads(vclip("search", "yellow", "--in", place.parent, "--json")[1])
        assert found[0]["path"] == str(place)
        vclip("search", "yellow", "--in", place.parent, "--export", tmp_path / "l.csv", "--overwrite")
        assert (tmp_path / "l.csv").read_text().splitlines()[1].startswith(f"{place},")
    copy.unlink()
    found = json.loads(vclip("search", "yellow", "--in", copy.parent, "--json")[1])
    assert (found[0]["path"], found[0]["offline"]) == (str(films / "two.mp4"), False)


def test_index_type_is_kept_and_told(filled, films, vclip):
    assert "chosen by size" in vclip("info")[1].replace("\n", " ")
    code, out, _ = vclip("reindex", "--index-type", "hnsw")
    assert (code, "hnsw is set" in out) == (0, True)
    assert "it begins above 262,144 frames" in out.replace("\n", " ")
    assert "hnsw is set" in vclip("info", "--json")[1]
    assert vclip("index", films, "--index-type", "exact")[0] == 0
    assert "exact is set" in vclip("reindex")[1]


def test_info(filled, vclip):
    code, out, _ = vclip("info")
    assert code == 0
    assert "2, 34 s" in out
    assert "FAISS exact float16, CPU (" in out
    assert "one every 2 s" in out
    assert json.loads(vclip("info", "--json")[1])["frames"] == 17


def test_list(filled, vclip):
    code, out, _ = vclip("list")
    assert code == 0
    assert "00:20.0" in out
    assert "64×48 h264" in out
    assert [len(v["paths"]) for v in json.loads(vclip("list", "--json")[1])] == [1, 1]


def test_a_copy_is_listed_as_one(filled, films, tmp_path, vclip):
    shutil.copy(films / "one.mp4", tmp_path / "copy.mp4")
    vclip("index", tmp_path / "copy.mp4")
    files = [line.rstrip() for line in vclip("list")[1].splitlines() if ".mp4" in line]
    assert [line.endswith("copy.mp4  (same content as above)") for line in files] == [False, True, False]


def test_list_as_csv_has_a_line_for_each_path(filled, films, tmp_path, vclip):
    shutil.copy(films / "one.mp4", tmp_path / "copy.mp4")
    vclip("index", tmp_path / "copy.mp4")
    (tmp_path / "copy.mp4").unlink()
    rows = list(csv.DictReader(io.StringIO(vclip("list", "--csv")[1])))
    assert [(row["path"], row["frames"], row["offline"]) for row in rows] == [
        (str(films / "one.mp4"), "10", "False"),
        (str(tmp_path / "copy.mp4"), "10", "True"),
        (str(films / "two.mp4"), "7", "False"),
    ]
    assert set(json.loads(vclip("list", "--json")[1])[0]) - {"paths"} == set(rows[0]) - {"path"}


def test_remove(filled, films, vclip):
    assert vclip("remove", films / "one.mp4")[1] == "1 video removed (10 frames).\n"
    assert vclip("remove", films)[1] == "1 video removed (7 frames).\n"
    assert vclip("list")[1] == "The library is empty. Fill it: vclip index FOLDER\n"
    assert "is empty" in vclip("search", "red")[2]


def test_verify(filled, vclip):
    assert vclip("verify", "--contents")[:2] == (0, "Table, index and files agree.\n")
    next((filled / "index").glob("*.faiss")).unlink()
    code, out, _ = vclip("verify")
    assert code == 1
    assert out.startswith("✗ the index in ")
    assert "→ vclip repair" in out
    assert vclip("repair")[0] == 0


def test_a_pipe_that_closes_early(filled):
    done = subprocess.run(
        f"'{sys.executable}' -m vclipper.cli list --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ, "VCLIP_LIBRARY": str(filled)},
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_help_names_every_command(vclip):
    _, out, _ = vclip("--help")
    for name in ("index", "search", "info", "list", "remove", "verify", "models", "bench"):
        assert f"\n  {name} " in out


@pytest.mark.parametrize("command", [["--help"], ["bench", "--help"]])
def test_help_cuts_no_description(vclip, command):
    lines = vclip(*command)[1].splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines[1:] if line.endswith(("...", "…"))]


def test_every_command_has_help(vclip):
    for name in ("index", "search", "info", "list", "remove", "verify", "models"):
        code, out, _ = vclip(name, "--help")
        assert code == 0
        assert max(map(len, out.splitlines())) <= 80


def test_timecodes():
    from vclipper.output import length, size, timecode

    assert [timecode(s) for s in (0, 59.96, 61.25, 3599.99, 3661)] == [
        "00:00.0", "01:00.0", "01:01.2", "1:00:00.0", "1:01:01.0"
    ]  # fmt: skip
    assert [length(s) for s in (3, 600, 7200)] == ["3 s", "10 min", "2.0 h"]
    assert [size(b) for b in (0, 999, 1000, 3_400_000)] == ["0 B", "999 B", "1.0 kB", "3.4 MB"]


def test_a_name_with_a_line_break_stays_on_one_line(lib, tmp_path, vclip):
    make_film(tmp_path / "odd" / "two\nlines.mp4", [("red", 4), ("blue", 4)])
    assert vclip("index", tmp_path / "odd")[0] == 0
    _, out, _ = vclip("search", "red")
    assert "two\\nlines.mp4" in out
    assert "4.0 s" in out  # red lasts 4 s


def test_a_name_that_turns_the_direction_of_writing_shows_it(lib, tmp_path, vclip):
    make_film(tmp_path / "odd" / "gpj.\u202e4pm.mp4", [("red", 4)])
    assert vclip("index", tmp_path / "odd")[0] == 0
    assert "gpj.\\u202e4pm.mp4" in vclip("search", "red")[1]


def test_models_whose_name_contains_a_pattern(vclip):
    code, out, _ = vclip("models", "vit-b-32/laion2b")
    assert (code, out.splitlines()[0][:18]) == (0, "ViT-B-32/laion2b_e")
    assert vclip("models", "xyz")[:2] == (0, "No model's name contains 'xyz'. All: vclip models\n")


def test_filters_of_a_search_stand_together(vclip):
    _, out, _ = vclip("search", "--help")
    _, _, section = out.partition("In which videos:\n")
    options = [line.split()[0] for line in section.partition("\n\n")[0].splitlines() if line.startswith("  --")]
    assert options == ["--in", "--min-length", "--max-length", "--after", "--before"]


def test_a_name_is_taken_as_it_is_listed(lib, tmp_path, vclip):
    for name, seconds in (("two\nlines.mp4", 4), ("caf\udce9.mp4", 6)):
        make_film(tmp_path / "odd" / name, [("red", seconds)])
    vclip("index", tmp_path / "odd")
    for name in (r"two\nlines.mp4", rf"{tmp_path}/odd/caf\xe9.mp4", r"F\xe9"):
        assert vclip("show", name)[::2] == (0, "")
    found = json.loads(vclip("search", "--like", r"caf\xe9.mp4@1", "--json")[1])
    assert [Path(moment["path"]).name for moment in found] == ["two\nlines.mp4"]


def test_messages_about_odd_names_are_one_line_each(lib, tmp_path, vclip):
    for name in ("two\nlines.mp4", "b\udcff \x1b[31m.mp4"):
        make_film(tmp_path / "odd" / name, [("red", 4), (("blue", "lime")["b" in name], 4)])
    assert vclip("index", tmp_path / "odd")[0] == 0
    (tmp_path / "odd").rename(tmp_path / "new")
    assert vclip("relink", tmp_path / "odd", tmp_path / "new", "--dry-run")[1].splitlines() == [
        rf"  {tmp_path}/odd/b\xff \x1b[31m.mp4 → {tmp_path}/new/b\xff \x1b[31m.mp4",
        rf"  {tmp_path}/odd/two\nlines.mp4 → {tmp_path}/new/two\nlines.mp4",
        "2 would be relinked, 0 kept",
    ]
    (tmp_path / "new" / "two\nlines.mp4").unlink()
    kept = vclip("relink", tmp_path / "odd", tmp_path / "new")[1].splitlines()
    assert kept[1:] == [
        rf"  kept  {tmp_path}/odd/two\nlines.mp4: {tmp_path}/new/two\nlines.mp4: No such file or directory",
        "1 relinked, 1 kept",
    ]
    _, _, err = vclip("remove", tmp_path / "no\nne\udcff.mp4")
    assert err == rf"vclip: {tmp_path}/no\nne\xff.mp4 is not in the library. See the paths: vclip list" + "\n"


def test_help_of_search_puts_what_people_want_first(vclip):
    _, out, _ = vclip("search", "--help")
    headings = [line[:-1] for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings[0] == "What to look for"
    assert headings[-1] == "Other options"
    assert all(f"--{knob.name.replace('_', '-')}" in out for knob in knobs())


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", ""),
        ("remove", ""),
        ("relink", "", "elsewhere"),
        ("relink", ".", ""),
        ("watch", ""),
        ("search", "red", "--export", ""),
        ("search", "red", "--plot", ""),
        ("search", "red", "--settings", ""),
        ("search", "red", "--ranker-file", ""),
        ("search", "--image", ""),
        ("show", "one", "--image", ""),
        ("export", "", "cuts"),
        ("list", "--library", ""),
        ("serve", "--library", ""),
    ],
)
def test_an_empty_path_is_refused_and_nothing_is_done(filled, films, vclip, monkeypatch, arguments):
    monkeypatch.chdir(films)
    code, out, err = vclip(*arguments)
    assert (code, out, err.count("\n")) == (2 if "--" in str(arguments) else 1, "", 1)
    assert "path is empty" in err
    assert [video.path.parent for video in open_library(filled).videos()] == [films, films]


def test_moments_are_not_exported_to_an_empty_path(filled, tmp_path, vclip):
    (tmp_path / "moments.json").write_text(vclip("search", "red", "--json")[1])
    assert vclip("export", tmp_path / "moments.json", "")[0::2] == (
        1,
        "vclip: a path is empty. Give a file or a folder; the current one is called .\n",
    )


WITH_MODES = """
import sys
import vclipper.library
from tests.fakes import load_fake
from tests.rights import needs_modes, run_with_modes
from vclipper import cli
vclipper.library.Library.__init__.__defaults__ = ("cpu", load_fake)
sys.stderr = sys.stdout
code = cli.run(sys.argv[1:])
print(code)
"""


@needs_modes
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "red", "--export", "CLOSED/x.edl"], "CLOSED cannot be written: Permission denied"),
        (
            ["search", "red", "--export", "CLOSED/deep/cuts"],
            "CLOSED/deep/cuts cannot be written: Permission denied",
        ),
        (["search", "red", "--export", "CLOSED/x.otoi"], "no format's files are called x.otoi"),
        (["search", "red", "--plot", "CLOSED/x.png"], "CLOSED cannot be written: Permission denied"),
        (["export", "CLOSED/m.json", "cuts"], "CLOSED/m.json: Permission denied"),
        (["search", "--image", "CLOSED/x.png"], "CLOSED/x.png cannot be read: Permission denied"),
        (["search", '"red" + CLOSED/x.png'], "CLOSED/x.png cannot be read: Permission denied"),
        (["search", "red", "--settings", "CLOSED/x.toml"], "CLOSED/x.toml"),
        (["search", "red", "--ranker-file", "CLOSED/x.json"], "CLOSED/x.json"),
        (["relink", "FILMS", "CLOSED/x"], "CLOSED/x cannot be looked at: Permission denied. Nothing was relinked"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_what_lies_in_a_closed_folder_is_one_line(filled, films, tmp_path, arguments, says):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    named = [word.replace("CLOSED", str(closed)).replace("FILMS", str(films)) for word in arguments]
    *_, error, code = run_with_modes(WITH_MODES, *named).splitlines()
    assert error.startswith("vclip: ")
    assert says.replace("CLOSED", str(closed)) in error
    assert "unexpected" not in error
    assert code == "1"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full drive as Linux shows it")
def test_output_that_does_not_fit_is_one_line(filled):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "vclipper.cli", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr
        == "vclip: nothing more can be written: No space left on device. Free some, or write elsewhere\n"
    )


@pytest.mark.parametrize("device", ["cuda:98,cuda:99", "cuda:99", "xpu:99"])
@pytest.mark.parametrize("command", ["index", "search", "show", "watch", "serve"])
def test_a_device_that_is_not_here_is_refused_at_once(filled, films, vclip, command, device):
    """``index`` has nothing new to encode, and a search by words would need no torch."""
    words = {"index": [films], "search": ["red"], "show": ["one"], "watch": [films], "serve": []}[command]
    code, out, err = vclip(command, *words, "--device", device)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"device {device.split(',')[0]!r} cannot be used: " in err


@pytest.mark.parametrize("command", ["index", "search", "show", "watch", "serve", "mcp"])
def test_the_help_names_every_device_that_the_error_does(vclip, command):
    listed = vclip(command, "--help")[1]
    assert all(name in listed for name in ("auto|cpu|cuda[:N]", "|all|mps"))
