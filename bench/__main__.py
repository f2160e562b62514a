"""``python -m bench``: the bench without installing the ``vclip`` command."""

from bench.commands import main

main()
