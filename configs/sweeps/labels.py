"""Error against the number of labels: what the images without a label are good for.

    python launch/sweep.py --sweep=configs/sweeps/labels.py --out=runs/labels
    python launch/report.py --runs=runs/labels

For 5, 10 and 50 labels of each digit, and for all: InfoCNF that learns from the
remaining images by their marginal likelihood, and its control, the same network trained
for as many steps on the labelled images alone. Seeds choose the labels too; both arms
see the same ones, and so does a logistic regression on pixels. A smaller network than
that of ``configs/digits.py`` at a constant tolerance.

Variants: smoke (one seed and one epoch of a tiny network).
"""

import runpy
from pathlib import Path

import ml_collections

from tfcnf.runs.config import SMOKE, parse_variant

DIGITS = runpy.run_path(str(Path(__file__).parents[1] / "digits.py"))["get_config"]
SIZE = {
    "model": {"filters": 16},
    "training": {"epochs": 30},
    "evaluation": {"every": 5, "draws": 3},
}
LABELS = (5, 10, 50)


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(variant, {"smoke": (False, True)})
    arms = {"all": _arm("labels=all", choice["smoke"])}
    for labels in LABELS:
        for name, ending in [("with_unlabelled", ""), ("alone", ",alone")]:
            text = f"labels={labels}{ending}"
            arms[f"{labels}_{name}"] = _arm(text, choice["smoke"])
    seeds = (0,) if choice["smoke"] else (0, 1)
    sweep = ml_collections.ConfigDict({"seeds": seeds, "arms": {"labels": arms}})
    return sweep.lock()


def _arm(variant: str, smoke: bool) -> ml_collections.ConfigDict:
    config = DIGITS(f"policy=fixed,papers,{variant}")
    config.update(SIZE)
    if smoke:
        config.update(SMOKE)
    return config
