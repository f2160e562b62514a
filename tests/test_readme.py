"""Every command of the README runs; those that set up the machine are CI's own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import vclipper.library
from tests.fakes import COLOURS, ColourEncoder, make_film, picture
from vclipper import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = [line for block in re.findall(r"```console\n(.*?)```", README, re.S) for line in block.splitlines()]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)


class Agreeable(ColourEncoder):
    """Takes any words: what is not a colour means red, a cat means lime."""

    def encode_texts(self, texts) -> np.ndarray:
        return super().encode_texts(
            [text if text in COLOURS else "lime" if "cat" in text else "red" for text in texts]
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    make_film(home / "Videos" / "a.mp4", [("red", 6), ("lime", 6), ("black", 4)])
    make_film(home / "Videos" / "old" / "b.mp4", [("blue", 6)])
    make_film(home / "Videos" / "holiday" / "c.mp4", [("white", 6), ("red", 6)])
    make_film(home / "videos" / "d.mp4", [("red", 6)])
    picture(home / "ball.jpg", "red")
    moment = {"path": str(home / "Videos" / "a.mp4"), "start_seconds": 0, "end_seconds": 6, "query": "a red car"}
    (home / "moments.json").write_text(json.dumps([moment]))
    return home


@pytest.fixture(autouse=True)
def at_home(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.delenv("VCLIP_LIBRARY", raising=False)
    monkeypatch.chdir(home)
    monkeypatch.setattr(
        vclipper.library.Library.__init__, "__defaults__", ("cpu", lambda name, device: Agreeable(name))
    )


def test_the_readme_has_commands():
    assert len(CONSOLE) > 10
    assert len(PYTHON) == 1


SERVE = [line for line in CONSOLE if line.startswith("vclip serve")]


@pytest.mark.parametrize("line", [line for line in CONSOLE if line.startswith("vclip ") and line not in SERVE])
def test_command(line, home, capfd):
    if not (home / "data").exists():
        assert cli.run(["index", str(home / "Videos")]) == 0
    arguments = [str(Path(word).expanduser()) if word.startswith("~") else word for word in shlex.split(line)[1:]]
    assert cli.run(arguments) == 0, capfd.readouterr().err
    out, _ = capfd.readouterr()
    assert out
    assert "Nothing found" not in out


@pytest.mark.parametrize("line", SERVE)
def test_a_server_answers_until_ctrl_c(line, home):
    if not (home / "data").exists():
        assert cli.run(["index", str(home / "Videos")]) == 0
    command = [sys.executable, "-u", "-m", "vclipper.cli", *shlex.split(line)[1:], "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as server:
        address = re.search(r"http://\S+", server.stdout.readline())[0]
        with urllib.request.urlopen(f"{address}api/v1/library", timeout=60) as answer:
            assert json.load(answer)["videos"] > 0
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0


@pytest.mark.parametrize("line", [line for line in CONSOLE if not line.startswith("vclip ")])
def test_set_up_commands_are_run_by_ci(line):
    program, *words = line.split()
    if program == "make":
        assert f"\n{words[0]}:" in (ROOT / "Makefile").read_text()
        assert words[0] in (ROOT / ".ci" / "run").read_text()
    else:
        assert line == "pip install ."


def test_python_example(home):
    exec(compile(PYTHON[0], "README.md", "exec"), {})
    assert (home / "films.vclip" / "library.json").exists()


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_every_option_named_exists():
    help_text = "".join(command.get_help(__import__("click").Context(command)) for command in cli.COMMANDS)
    for option in set(re.findall(r"`(--?[a-zA-Z][a-z-]*)", README)):
        assert option in help_text, option
