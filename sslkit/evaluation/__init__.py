"""Evaluation: features and labels in, numbers with intervals out. The encoder is frozen, choices are made on the
validation split, the test split is used once, and every result stands beside its baselines."""

# ruff: noqa: F401 (this file is the list of what is public)
from sslkit.evaluation._baselines import baselines
from sslkit.evaluation._clustering import clustering, k_means
from sslkit.evaluation._collapse import collapse
from sslkit.evaluation._evaluate import evaluate
from sslkit.evaluation._factors import factors
from sslkit.evaluation._features import features, split_features
from sslkit.evaluation._knn import knn
from sslkit.evaluation._probe import LinearProbe, few_label, fit_linear, linear_probe
from sslkit.evaluation._retrieval import nearest, perturb, retrieval
from sslkit.evaluation._score import Score, accuracy, r2
from sslkit.evaluation._table import Table
