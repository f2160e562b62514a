"""``python -m bench``: ``vclip bench`` without installing the command."""

from vclipper.cli import main
from vclipper.commands.bench import bench

main(bench, "python -m bench")
