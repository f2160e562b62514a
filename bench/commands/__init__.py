"""The commands of ``vclip bench``, one file a subject: the only part of the bench that knows click.

Everything heavy is imported inside the commands, so that they can be listed at no cost.
"""

from __future__ import annotations

from bench.commands.corpus import corpus, cost, long, refine
from bench.commands.figures import models, plots
from bench.commands.scale import gpu, growth, scale, serve
from bench.commands.score import run, score, tables
from bench.commands.speed import shortcuts, speed
from bench.commands.tune import baselines, fit, tune

COMMANDS = (
    score,
    run,
    tables,
    tune,
    fit,
    baselines,
    models,
    plots,
    corpus,
    long,
    cost,
    refine,
    speed,
    shortcuts,
    scale,
    growth,
    serve,
    gpu,
)
