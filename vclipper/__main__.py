"""``python -m vclipper``: ``vclip`` without installing the command."""

from vclipper.cli import main

main(program="python -m vclipper")
