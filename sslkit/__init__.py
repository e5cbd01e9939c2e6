"""sslkit: the kit with which people learn how machines learn to see without labels.

    import sslkit

    data = sslkit.datasets.load("shapes")
    run = sslkit.pretrain("simclr", data, minutes=3, seed=0)
    print(run.evaluate())
    run.report("runs/mine")

Submodules, and PyTorch with them, are loaded when they are first used: `import sslkit` alone costs nearly nothing.
"""

import os
from importlib import import_module

# Threads that wait for each other spin for a moment, and then sleep. Beside another training that is three times as fast,
# and it costs nothing alone (RESULTS.md, "Beside other programs"). Without the moment, small steps such as views take twice
# as long. Read when torch is first imported; a choice of yours is kept.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"

_MODULES = (
    "augment", "checkpoint", "datasets", "device", "distributed", "doctor", "evaluation", "exercises", "fine_tune", "losses",
    "maps", "methods", "nets", "plots", "progress", "race", "recipes", "schedules", "seeds", "train", "widgets",
)  # fmt: skip
_NAMES = {"pretrain": "run", "load": "run", "Run": "run", "TrainConfig": "train", "Embedding": "estimator"}

__all__ = [*_MODULES, *_NAMES]


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(import_module(f"sslkit.{_NAMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"sslkit.{name}")
    raise AttributeError(f"module 'sslkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
