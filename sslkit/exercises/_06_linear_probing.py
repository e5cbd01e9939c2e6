"""Exercises of notebook 06: a weighted vote of neighbours, and a protocol in which the test is used once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo

# 06a: weighted kNN ------------------------------------------------------------------------------------------


def knn_predict(train_x: Tensor, train_y: Tensor, test_x: Tensor, *, k: int = 20, temperature: float = 0.07) -> Tensor:
    """The class of each test row by a weighted vote of its k nearest training rows: (M,)."""
    return _vote(_cosines(test_x, train_x), train_y, k, lambda s: (s / temperature).exp())


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def _vote(similarity: Tensor, labels: Tensor, k: int, weight: Callable, *, largest: bool = True) -> Tensor:
    top, index = similarity.topk(k, dim=1, largest=largest)  # (M, k)
    votes = torch.zeros(len(similarity), int(labels.max()) + 1, dtype=similarity.dtype)  # (M, classes)
    return votes.scatter_add(1, labels[index], weight(top)).argmax(dim=1)  # (M,)


split_vote = Zoo()
split_vote.add(
    "a vote in which all neighbours count the same",
    "A nearer neighbour has a heavier vote: exp(similarity / temperature).",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(
        _cosines(test_x, train_x), train_y, k, torch.ones_like
    ),
)
split_vote.add(
    "votes that weigh as much as the similarity",
    "The weight is exp(similarity / temperature), not the similarity.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(
        _cosines(test_x, train_x), train_y, k, lambda s: s
    ),
)
split_vote.add(
    "a vote with the temperature multiplied",
    "Divide by the temperature: a low one makes near neighbours count more.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(
        _cosines(test_x, train_x), train_y, k, lambda s: (s * temperature).exp()
    ),
)
split_vote.add(
    "a vote without its temperature",
    "The argument is not used: divide every similarity by it.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(_cosines(test_x, train_x), train_y, k, torch.exp),
)
split_vote.add(
    "a vote by dot product",
    "Long feature vectors win. Give training and test features length 1 first.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(
        test_x @ train_x.T, train_y, k, lambda s: ((s - s.max()) / temperature).exp()
    ),
)
split_vote.add(
    "a vote with only the training features normalised",
    "The neighbours are right, but their weights are not: test features need length 1 too.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(
        test_x @ F.normalize(train_x, dim=1).T, train_y, k, lambda s: (s / temperature).exp()
    ),
)
split_vote.add(
    "a vote with only the test features normalised",
    "Long training features win the vote: they need length 1, too.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(
        F.normalize(test_x, dim=1) @ train_x.T, train_y, k, lambda s: (s / temperature).exp()
    ),
)
split_vote.add(
    "a vote at a fixed temperature of 0.07",
    "It is right at the default only. Use the argument, not a number.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(
        _cosines(test_x, train_x), train_y, k, lambda s: (s / 0.07).exp()
    ),
)
split_vote.add(
    "the vote of the least similar pictures",
    "topk takes the largest, and a large cosine means similar.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(
        _cosines(test_x, train_x), train_y, k, lambda s: (s / temperature).exp(), largest=False
    ),
)
split_vote.add(
    "the vote of all training pictures",
    "Only the k nearest may vote.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _vote(
        _cosines(test_x, train_x), train_y, len(train_x), lambda s: (s / temperature).exp()
    ),
)
split_vote.add(
    "the vote of the nearest alone",
    "All k neighbours vote, not only the first.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: train_y[_cosines(test_x, train_x).argmax(dim=1)],
)
split_vote.add(
    "the training pictures instead of their classes",
    "Return the class that won, not the index of a neighbour.",
    lambda train_x, train_y, test_x, *, k=20, temperature=0.07: _cosines(test_x, train_x).argmax(dim=1),
)


@split_vote.keep(
    "a vote of the mean weight of each class",
    "Sum the votes of a class. With the mean, one near neighbour outvotes many.",
)
def _mean_vote(train_x: Tensor, train_y: Tensor, test_x: Tensor, *, k: int = 20, temperature: float = 0.07) -> Tensor:
    top, index = _cosines(test_x, train_x).topk(k, dim=1)
    cast = F.one_hot(train_y[index], int(train_y.max()) + 1)  # (M, k, classes)
    return (((top / temperature).exp()[:, :, None] * cast).sum(dim=1) / cast.sum(dim=1).clamp(min=1)).argmax(dim=1)


@split_vote.keep("a vote by Euclidean distance", "The task compares directions, by cosine: lengths must not matter.")
def _euclidean(train_x: Tensor, train_y: Tensor, test_x: Tensor, *, k: int = 20, temperature: float = 0.07) -> Tensor:
    return _vote(-torch.cdist(test_x, train_x), train_y, k, lambda s: (s / temperature).exp())


def _two_sets(seed: int, k: int, temperature: float):
    """Five overlapping classes, features of different lengths: every rule of voting gives other answers.

    All of them are short enough for the exp of a product: who forgets to normalise gets a vote, and not infinity.
    """
    centres, y = randn(seed, 5, 4), torch.arange(80) % 5
    train_x = 0.2 * (centres[y] + 0.9 * randn(seed + 1, 80, 4)) * torch.logspace(-0.5, 0.5, 80)[:, None]
    test_x = (
        0.2 * (centres[torch.arange(40) % 5] + 0.9 * randn(seed + 2, 40, 4)) * torch.logspace(0.5, -0.5, 40)[:, None]
    )
    return lambda: ((train_x.clone(), y.clone(), test_x.clone()), {"k": k, "temperature": temperature})


knn_exercise = Exercise(
    id="06a",
    prompt=(
        "Write `knn_predict(...)`: the class of each test picture by a weighted vote of its k most "
        "similar training pictures."
    ),
    stub='''\
def knn_predict(train_x, train_y, test_x, *, k=20, temperature=0.07):
    """The class (M,) of each row of test_x (M, D): its k nearest rows of train_x (N, D) by cosine vote for their class
    in train_y (N,), each with the weight exp(cosine / temperature); the class with the largest sum wins."""
    return None  # your lines here
''',
    reference=knn_predict,
    probes=(
        Probe("80 training pictures of 5 classes, k = 20, temperature 0.3", _two_sets(1, 20, 0.3)),
        Probe("k = 40, temperature 2", _two_sets(13, 40, 2.0)),
        Probe("k = 10, temperature 0.07", _two_sets(4, 10, 0.07)),
        Probe("k = 5, temperature 0.05", _two_sets(7, 5, 0.05)),
        Probe("k = 1", _two_sets(10, 1, 0.07)),
    ),
    mistakes=split_vote,
    verified="All predictions are right for k from 1 to 40 and temperatures from 0.05 to 2.",
    usual=(
        "Counting votes without their weight, or forgetting to normalise, so that long vectors become "
        "everybody's neighbour."
    ),
    minutes=15,
    outputs=("predictions",),
)

# 06b: an honest protocol ------------------------------------------------------------------------------------


def honest_accuracy(fit: Callable, train: tuple, val: tuple, test: tuple, *, decays: Sequence[float]) -> float:
    """Statistics from train, the decay from val, one look at test: its accuracy."""
    return _protocol(fit, train, val, test, decays)


def _standardise(like: Tensor) -> Callable[[Tensor], Tensor]:
    mean, std = like.mean(dim=0), like.std(dim=0)
    return lambda x: (x - mean) / std


def _protocol(
    fit,
    train,
    val,
    test,
    decays,
    *,
    choose_on="val",
    report="test",
    statistics="train",
    last=False,
    again=False,
    refit=False,
) -> float:
    """The whole protocol, with a switch for each of its temptations."""
    splits = {"train": train, "val": val, "test": test}
    everything = torch.cat([x for x, _ in splits.values()])
    like = {"train": train[0], "all": everything}
    scale = {
        name: _standardise(like.get(statistics, x)) for name, (x, _) in splits.items()
    }  # "each": its own statistics
    if statistics == "none":
        scale = dict.fromkeys(splits, lambda x: x)
    if statistics == "train only":
        scale = {"train": _standardise(train[0]), "val": lambda x: x, "test": lambda x: x}

    def accuracy(predict: Callable, name: str) -> float:
        x, y = splits[name]
        return float((predict(scale[name](x)) == y).double().mean())

    predictors = [fit(scale["train"](train[0]), train[1], decay) for decay in decays]
    scores = [accuracy(predict, choose_on) for predict in predictors]
    best = max(range(len(decays)), key=lambda i: (scores[i], i if last else -i))
    if refit:
        (x, y), (val_x, val_y) = train, val
        both = torch.cat([scale["train"](x), scale["val"](val_x)]), torch.cat([y, val_y])
        return accuracy(fit(*both, decays[best]), report)
    return scores[best] if report == choose_on and not again else accuracy(predictors[best], report)


leaky = Zoo()
leaky.add(
    "the test accuracy of the decay that is best on the test split",
    "The test chose its own winner. Choose on the validation split.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, choose_on="test"),
)
leaky.add(
    "the test accuracy of the decay that is best on the test split, where the winner was asked once more",
    "The test chose its own winner. Choose on the validation split, and predict the test split once, for the winner.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, choose_on="test", again=True),
)
leaky.add(
    "the result of a probe that was fitted again on training and validation pictures",
    "Some papers do so. Here the question is how good the chosen probe is, the one fitted to the training pictures.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, refit=True),
)
leaky.add(
    "the test accuracy of the decay that is best on the training split",
    "Training accuracy favours the weakest decay. Choose on the validation split.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, choose_on="train"),
)
leaky.add(
    "the validation accuracy",
    "The validation split chose, so its number is too good. Report the test split, once.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, report="val"),
)
leaky.add(
    "a result with each split standardised by itself",
    "A test picture must not depend on its neighbours in the test: use the mean and std of train.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, statistics="each"),
)
leaky.add(
    "a result standardised with all splits together",
    "Mean and std have seen the test pictures. Compute them from train only.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, statistics="all"),
)
leaky.add(
    "a result without standardisation",
    "Subtract the mean of the training features and divide by their std.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, statistics="none"),
)
leaky.add(
    "a result with only the training features standardised",
    "Validation and test features need the same shift and scale, those of train.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, statistics="train only"),
)
leaky.add(
    "the result of the first decay",
    "Try all decays and choose on the validation split.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays[:1]),
)
leaky.add(
    "the result of the last decay",
    "Keep the predictor that was best on the validation split, not the last one fitted.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays[-1:]),
)
leaky.add(
    "the result of the last of several equal decays",
    "Among equals the first decay wins: keep the best so far until another one is really better.",
    lambda fit, train, val, test, *, decays: _protocol(fit, train, val, test, decays, last=True),
)


@leaky.keep(
    "an honest number, but the test split was opened for every decay",
    "Choose first, then predict the test split once, for the winner.",
)
def _peeks(fit: Callable, train: tuple, val: tuple, test: tuple, *, decays: Sequence[float]) -> float:
    scale = _standardise(train[0])
    predictors = [fit(scale(train[0]), train[1], decay) for decay in decays]
    on_val, on_test = (
        [float((predict(scale(x)) == y).double().mean()) for predict in predictors] for x, y in (val, test)
    )
    return on_test[max(range(len(decays)), key=on_val.__getitem__)]


@leaky.keep(
    "the mean accuracy over all decays", "Choose one decay on the validation split and report its test accuracy."
)
def _mean_of_decays(fit: Callable, train: tuple, val: tuple, test: tuple, *, decays: Sequence[float]) -> float:
    return sum(_protocol(fit, train, val, test, [decay]) for decay in decays) / len(decays)


def ridge(x: Tensor, y: Tensor, decay: float) -> Callable[[Tensor], Tensor]:
    """A linear classifier by regularised least squares: fit once, then call it to predict classes."""
    targets = F.one_hot(y).to(x.dtype)
    bias = targets.mean(dim=0)
    weight = torch.linalg.solve(x.T @ x + decay * torch.eye(x.shape[1], dtype=x.dtype), x.T @ (targets - bias))
    return lambda new: (new @ weight + bias).argmax(dim=1)


def protocol_facts(protocol: Callable, probe: Probe) -> dict:
    """The accuracy, and how often the test pictures were looked at: they are 50, more than any other split has."""
    args, kwargs = probe.make()
    looks = 0

    def fit(x: Tensor, y: Tensor, decay: float) -> Callable[[Tensor], Tensor]:
        predict = ridge(x, y, decay)

        def watched(new: Tensor) -> Tensor:
            nonlocal looks
            looks += len(new) == 50
            return predict(new)

        return watched

    accuracy = protocol(fit, *args, **kwargs)
    if accuracy is None:
        return {"value": None}
    return {"accuracy": float(accuracy), "times the test split was predicted": looks}


def _three_splits(seed: int) -> tuple[tuple, dict]:
    """Three noisy classes in 12 dimensions of very different scales; the test split is shifted, as new pictures are."""
    centres, scale = randn(seed, 3, 12, dtype=torch.float64), torch.logspace(-1, 1, 12, dtype=torch.float64)

    def split(n: int, offset: int, shift: float) -> tuple[Tensor, Tensor]:
        y = torch.arange(n) % 3
        return (centres[y] * 0.6 + randn(seed + offset, n, 12, dtype=torch.float64) + shift + 1) * scale, y

    return (split(30, 1, 0.0), split(40, 2, 0.1), split(50, 3, 0.5)), {"decays": (3.0, 0.01, 100.0, 1000.0, 30.0)}


protocol_exercise = Exercise(
    id="06b",
    prompt=(
        "Write `honest_accuracy(...)`: standardise with the training features, choose the decay on val, "
        "use the test split once."
    ),
    stub='''\
def honest_accuracy(fit, train, val, test, *, decays):
    """The test accuracy of the classifier whose decay is best on the validation split.

    train, val and test are pairs (features, labels). `fit(x, y, decay)` returns a function that predicts classes.
    Standardise all features with the mean and std of the training features. Among equals, the first decay wins.
    """
    return None  # your lines here
''',
    reference=honest_accuracy,
    probes=tuple(
        Probe(f"data set {name}", lambda seed=seed: _three_splits(seed))
        # Another decay wins in each of the first four. In the last, three are equal on val and not on test.
        for name, seed in {"A": 70, "B": 80, "C": 140, "D": 160, "E": 60}.items()
    ),
    mistakes=leaky,
    verified="Statistics come from train, the decay from val, and the test split is predicted once.",
    usual=(
        "Choosing the decay, or the best epoch, on the test split. The number is then too high, and nobody can see it."
    ),
    minutes=15,
    facts=protocol_facts,
)

EXERCISES = (knn_exercise, protocol_exercise)
