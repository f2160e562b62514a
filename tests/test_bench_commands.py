"""The bench's command line on a small data set, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from indexer.errors import InputError
from searcher.settings_file import read_settings
from tests.bench_data import write_small_dataset
from tests.fakes import make_film
from vclipper.commands.bench import bench


@pytest.fixture
def source(tmp_path: Path) -> list[str]:
    annotations = write_small_dataset(tmp_path / "data")
    return [
        "--annotations",
        str(annotations),
        "--features",
        str(tmp_path / "data"),
        "--cache",
        str(tmp_path / "cache"),
    ]


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(bench, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from vclipper.commands.bench import bench; "
        "print(sorted(bench.commands)); "
        "print([m for m in ('numpy', 'scipy', 'torch', 'optuna', 'matplotlib', 'lancedb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    commands, heavy = done.stdout.splitlines()
    for name in ("score", "run", "tables", "tune", "models", "plots", "baselines", "corpus"):
        assert name in commands
    assert heavy == "[]"


def test_run_writes_predictions_that_score_the_same(source: list[str], tmp_path: Path) -> None:
    out = tmp_path / "predictions"
    ran = invoke(
        "run", *source, "--method", "vc1", "--postprocess", "norm", "--predictions", out, "--format", "json"
    )
    row = json.loads(ran.stdout)["windows"][0]
    scored = invoke(
        "score", out / "vc1-norm.jsonl", source[1], "--json", "--rows", tmp_path / "new" / "rows.jsonl"
    )
    report = json.loads(scored.stdout)
    assert report["brief"]["MR-full-R1@0.5"] == row["values"]["R1@0.5"]
    assert report["extra"] == {
        "MR-full-mIoU": row["values"]["mIoU"],
        "queries": 20,
        "missing": 0,
        "empty": report["extra"]["empty"],
    }
    assert "HL-min-VeryGood-mAP" in report["brief"]
    rows = [json.loads(line) for line in (tmp_path / "new" / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 20
    assert {"qid", "query", "IoU", "AP", "state"} <= set(rows[0])


def test_options_count_over_a_settings_file(source: list[str], tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"method": "vc1", "postprocess": "norm", "threshold": 0.55}')
    ran = invoke(
        *("run", *source, "--settings", settings, "--method", "vc2", "--lambda", 0.9, "-p", 0.5),
        *("--format", "json"),
    )
    [used] = json.loads(ran.stdout)["provenance"]["settings"]
    assert (used["method"], used["postprocess"]) == ("vc2", "norm")
    assert (used["threshold"], used["top_share"]) == (0.9, 0.5)


def test_rows_of_the_same_method_have_predictions_of_their_own(source: list[str], tmp_path: Path) -> None:
    files = [tmp_path / "low.json", tmp_path / "high.json"]
    for file, threshold in zip(files, (0.2, 0.9), strict=True):
        file.write_text(json.dumps({"method": "vc1", "postprocess": "norm", "threshold": threshold}))
    out = tmp_path / "predictions"
    invoke("run", *source, "--settings", files[0], "--settings", files[1], "--predictions", out)
    low, high = ((out / f"vc1-norm{number}.jsonl").read_text() for number in ("", "-2"))
    assert low != high
    assert len(low.splitlines()) == len(high.splitlines()) == 20


def test_run_names_missing_videos(source: list[str], tmp_path: Path) -> None:
    (tmp_path / "data" / "clip_features" / "v3.npz").unlink()
    ran = invoke("run", *source, "--method", "vc1", "--postprocess", "norm")
    assert "missing videos: 1 of 10: v3" in ran.stderr
    assert "2 of 20 queries have no curve and count as misses" in ran.stderr


def test_tune_then_run_then_tables(source: list[str], tmp_path: Path) -> None:
    out = tmp_path / "tuning"
    tuned = invoke(
        *("tune", *source, "--method", "vc1", "--postprocess", "norm", "--folds", 2, "--trials", 3),
        *("--workers", 1, "--out", out, "--format", "markdown"),
    )
    assert "tuned for R1@0.5 by 2-fold CV by video" in tuned.stdout
    settings = out / "vc1-norm-windows.json"
    assert read_settings(settings).postprocess == "norm"
    results = json.loads((out / "results-windows.json").read_text())
    assert results["provenance"]["tune-windows"]["trials"] == {"vc1 norm": 3}
    ran = invoke("run", *source, "--settings", settings, "--results", tmp_path / "run.json")
    assert "measured here" in ran.stdout
    tables = invoke("tables", tmp_path / "run.json", out / "results-windows.json", "--out", tmp_path / "t")
    assert "57.38" in tables.stdout
    assert "from its paper" in (tmp_path / "t" / "tables.md").read_text()
    assert (tmp_path / "t" / "frames-per-video.csv").read_text().startswith("method,postprocessing,figures")


def test_training_features_need_their_annotations(source: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--train-annotations"):
        invoke("tune", *source, "--train-features", tmp_path / "data", "--out", tmp_path / "tuning")
    assert not (tmp_path / "tuning").exists()


def test_tables_alone_show_the_published_figures() -> None:
    shown = invoke("tables", "--format", "csv").stdout
    assert "vc1,log_smooth_norm,from the thesis,val,57.38" in shown
    assert "Moment-DETR w/PT,video + audio,from its paper,test,59.78" in shown


def test_baselines(source: list[str], tmp_path: Path) -> None:
    ran = invoke("baselines", *source, "--folds", 2, "--results", tmp_path / "b.json", "--format", "csv")
    assert "image query" in ran.stdout
    results = json.loads((tmp_path / "b.json").read_text())
    assert len(results["baselines"]) == 8
    assert results["source"].endswith(", tuned for R1@0.5 by 2-fold CV by video")  # as tuning says


def test_corpus(source: list[str]) -> None:
    report = json.loads(invoke("corpus", *source, "--workers", 1, "--json").stdout)
    assert report["video R@1"] > 80
    text = invoke("corpus", *source, "--workers", 1).stdout
    assert "| moment IoU 0.7 |" in text
    assert "20 queries over 10 videos" in text


def test_plots(source: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra [bench] is not installed")
    invoke("plots", "curves", *source, "--qid", 3, "--qid", 5, "--out", tmp_path / "c.png")
    invoke("plots", "iou", *source, "--out", tmp_path / "i.png")
    assert (tmp_path / "c.png").stat().st_size > 10_000
    assert (tmp_path / "i.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="no query 99"):
        invoke("plots", "curves", *source, "--qid", 99, "--out", tmp_path / "d.png")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "no curves to work on"),
        (("--features", "f", "--videos", "v"), "--videos stands alone"),
        (("--features", "nowhere"), "does not exist"),
    ],
)
def test_a_source_is_demanded(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    annotations = write_small_dataset(tmp_path / "data")
    with pytest.raises(InputError) as error:
        invoke("run", "--annotations", annotations, "--cache", tmp_path, *arguments)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        *(("cost", "--clips", value) for value in ("0", "-1")),
        *(("long", "--hours", value) for value in ("0", "-1")),
        ("long", "--queries", "0"),
        ("corpus", "--workers", "0"),
        ("tune", "--seed", "-1"),
        ("baselines", "--seed", "-1"),
        *(("speed", *rest) for rest in (("--rounds", "0"), ("--rows", "0"), ("--rows", "10,x"))),
        *(
            ("scale", *rest)
            for rest in (("--rows", "0"), ("--queries", "0"), ("--cap", "0"), ("--filters", "1,2"))
        ),
        *(("growth", *rest) for rest in (("--sizes", ""), ("--runs", "0"), ("--frames", "0"))),
        *(("serve", option, "0") for option in ("--rows", "--clients", "--requests")),
        ("gpu", "--rows", "1e6"),
    ],
)
def test_impossible_counts_are_refused(command: str, option: str, value: str) -> None:
    refused = invoke(command, option, value)
    assert refused.exit_code == 2
    assert option in refused.stderr


def test_frames_of_a_video_that_fill_no_chunk_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not divide 64,800"):
        invoke("growth", "--frames", 7, "--work", tmp_path)


def test_cost_and_hours_need_something_to_measure(source: list[str], tmp_path: Path) -> None:
    predictions = tmp_path / "p.jsonl"
    predictions.write_text(json.dumps({"qid": 0, "pred_saliency_scores": [0.5] * 20}))
    with pytest.raises(InputError, match="vectors of its frames"):
        invoke("cost", *source[:2], "--saliency", predictions)
    annotations = Path(source[1])
    rows = [json.loads(line) for line in annotations.read_text().splitlines()]
    annotations.write_text("".join(json.dumps({**row, "relevant_windows": []}) + "\n" for row in rows))
    with pytest.raises(InputError, match="no query"):
        invoke("long", *source, "--hours", 0.01)


@pytest.mark.parametrize(
    ("command", "option", "name", "problem"),
    [
        *((command, "--results", "folder", "is a directory") for command in ("run", "baselines")),
        ("fit", "--out", "folder", "is a directory"),
        ("run", "--predictions", "file", "is a file"),
        ("run", "--cache", "file", "is a file"),
        ("run", "--results", "file/below/it.json", "is a file"),
        ("tune", "--out", "file", "is a file"),
        ("score", "--rows", "folder", "is a directory"),
        ("plots iou", "--out", "figure.xyz", "ends in none of .png, .svg, .pdf"),
        ("models", "--plot", "figure", "ends in none of .png, .svg, .pdf"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_the_work(
    tmp_path: Path, command: str, option: str, name: str, problem: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    refused = invoke(*command.split(), option, tmp_path / name)
    assert refused.exit_code == 2
    assert problem in refused.stderr


def test_studies_that_are_no_database_are_refused(source: list[str], tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_text("no database, " * 100)
    with pytest.raises(InputError, match=r"studies\.db cannot be opened"):
        invoke("tune", *source, "--method", "vc1", "--postprocess", "norm", "--out", tmp_path)


def test_the_demo_model_has_its_name_here_too(tmp_path: Path) -> None:
    make_film(tmp_path / "films" / "v0.mp4", [("red", 4), ("blue", 4)])
    row = {"qid": 0, "query": "red", "vid": "v0", "duration": 8, "relevant_windows": [[0, 4]]}
    (tmp_path / "own.jsonl").write_text(json.dumps(row))
    ran = invoke(
        *("run", "--annotations", tmp_path / "own.jsonl", "--videos", tmp_path / "films", "--model", "demo"),
        *("--device", "cpu", "--cache", tmp_path / "cache", "--method", "vc1", "--format", "json"),
    )
    assert json.loads(ran.stdout)["source"] == "own.jsonl, demo on videos, 0.5 frames a second"


def run_module(*arguments: object) -> tuple[int, str]:
    """``python -m bench``: its exit code and what it says on stderr."""
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_known_errors_become_one_line(tmp_path: Path) -> None:
    said = run_module("score", tmp_path / "a", tmp_path / "b")
    assert said == (1, f"bench: {tmp_path / 'b'} does not exist\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plot"], "there is no command 'plot'. Near it: plots. All: python -m bench --help"),
        (["score", "--jso"], "score has no option --jso. Near it: --json. All: python -m bench score --help"),
        (["fit", "--folds", "x"], "--folds: 'x' is not a whole number. More: python -m bench fit --help"),
        (["--nope"], "python -m bench has no option --nope. All: python -m bench --help"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(arguments: list[str], says: str) -> None:
    assert run_module(*arguments) == (2, f"bench: {says}\n")
