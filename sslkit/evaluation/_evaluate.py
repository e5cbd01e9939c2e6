"""All measurements on a data set, beside their baselines, in one table."""

import torch
from torch import Tensor

from sslkit.datasets import Images
from sslkit.evaluation._clustering import clustering
from sslkit.evaluation._collapse import collapse
from sslkit.evaluation._factors import factors
from sslkit.evaluation._knn import knn
from sslkit.evaluation._probe import Axes, few_label, linear_probe
from sslkit.evaluation._retrieval import retrieval
from sslkit.evaluation._table import Table

HOW = (
    "With 95 % intervals, in brackets or as ± half of it: bootstrap over test pictures, for few labels also the luck of "
    "the labelled ones. Another training run may differ by more: train with several seeds."
)


def evaluate(
    feature_sets: dict[str, dict[str, Tensor]], data: Images, *, budgets=(1, 5, 10, 50), draws: int = 5, seed: int = 0
) -> Table:
    """Everything that can be measured on these `Images`, for each set of `split_features`, and for chance.

    The first set is in question, the others are its baselines. Choices are made on the validation split, the test split
    is used once. Labels: linear probe, kNN, few labels, clusters. Factors: one probe each. Groups drawn by several
    artists: retrieval across artists. Always: retrieval of a test picture by its perturbed copy, and the collapse report.
    Chance is what features score that are all zero. Of clusters it is what they score with the labels shuffled: much, where
    there are many small classes. What cannot be measured is left out, and a note says why.
    """
    train, val, test = data.train, data.val, data.test
    table = Table(f"{data.name}: {len(train):,} training, {len(val):,} validation, {len(test):,} test pictures")
    if not feature_sets or not len(train) or not len(test):
        table.notes.append("Nothing can be measured without features, training pictures and test pictures.")
        return table
    asked, answers, chosen_on = dict(train.factors), dict(test.factors), val.factors
    if train.labels is None:
        table.notes.append("No labels: only collapse, retrieval, factors if any are known, and maps.")
    else:  # one of the factors may be the label: it is not asked for twice
        same = lambda value: not value.is_floating_point() and torch.equal(value, train.labels)
        asked = {name: value for name, value in asked.items() if not same(value)}
        asked["label"], answers["label"] = train.labels, test.labels
    if silent := [name for name in asked if not _answerable(asked[name], answers[name])]:
        why = "training shows one class only, or lacks those of most test pictures"
        table.notes.append(f"Not probed, because {why}: {', '.join(silent)}.")
    labelled = "label" in asked and "label" not in silent
    if labelled and (least := int(torch.unique(train.labels, return_counts=True)[1].min())) < max(budgets, default=0):
        table.notes.append(f"Few labels: a class with fewer pictures gives all it has; the smallest has {least}.")
    asked = {name: value for name, value in asked.items() if name not in (*silent, "label")}
    rows = {name: f"{name} ({'R²' if value.is_floating_point() else 'accuracy'})" for name, value in asked.items()}
    ids = torch.arange(len(test))
    first = next(iter(feature_sets.values()))
    nothing = {split: torch.zeros(len(x), 1) for split, x in first.items()}
    mixed = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))
    for name, x in (feature_sets | {"chance": nothing}).items():
        scores, axes = {}, None
        if labelled:
            pairs = (x["train"], train.labels, x["test"], test.labels)
            axes = Axes(x["train"])  # once for all probes
            scores["linear probe"] = linear_probe(*pairs, val_x=x["val"], val_y=val.labels, seed=seed, axes=axes)
            scores["kNN"] = knn(*pairs)
            few = few_label(*pairs, budgets=budgets, draws=draws, seed=seed)
            scores |= {f"{n} label{'s' * (n > 1)} per class": score for n, score in few.items()}
            if len(test.labels.unique()) > 1:
                clustered = (first["test"], test.labels[mixed]) if name == "chance" else (x["test"], test.labels)
                scores["clusters (NMI)"] = clustering(*clustered, seed=seed)["nmi"]
        scores["finds shifted copy"] = retrieval(x["shifted"], ids, x["test"], ids)
        scores |= _across_artists(x, test)
        found = factors(
            x["train"], asked, x["test"], answers, val_x=x["val"], val_factors=chosen_on, seed=seed, axes=axes
        )
        scores |= {rows[factor]: score for factor, score in found.items()}
        if name == "chance":
            table.add(name, {row: float(score) for row, score in scores.items()})
        else:
            table.add(name, scores)
            table.collapse[name] = collapse(x["test"], x["shifted"], seed=seed)
    table.notes += [*_summary(table), HOW]
    return table


def _across_artists(x: dict[str, Tensor], test: Images) -> dict:
    """Recall at 1: a picture of the first artist finds what the second drew for the same concept, among all concepts."""
    first, second = (test.factors.get("artist", torch.empty(0)) == artist for artist in (0, 1))
    if test.groups is None or not first.any() or not second.any():
        return {}
    gallery = x["test"][second], test.groups[second]
    return {
        "other artist's drawing": retrieval(x["test"][first], test.groups[first], *gallery),
        "the same, shifted": retrieval(x["shifted"][first], test.groups[first], *gallery),
    }


def _answerable(train_y: Tensor, test_y: Tensor) -> bool:
    if train_y.is_floating_point():
        return True
    return len(train_y.unique()) > 1 and torch.isin(test_y, train_y).float().mean().item() >= 0.5


def _summary(table: Table) -> list[str]:
    """The verdict on the first set of features, and its distance from the best baseline."""
    first, *others = table.collapse
    notes = [f"{first}: {table.collapse[first]['verdict']}"]
    if others and "linear probe" in table.columns[first]:
        best, row, name = table.best_baseline
        gain = table["linear probe", first].value - best
        where = f"{abs(gain):.2f} {'above' if gain >= 0 else 'below'} the best baseline, {best:.2f} ({name}, {row})"
        notes.append(f"{first}: the linear probe is {where}.")
    return notes
