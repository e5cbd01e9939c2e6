"""Weighted nearest neighbours: the evaluation that has nothing to fit."""

from numbers import Integral

from torch import Tensor

from sslkit.evaluation._retrieval import nearest
from sslkit.evaluation._score import Score, accuracy, check


def knn(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, *, k: int = 20, temperature: float = 0.07
) -> Score:
    """Accuracy when the k most similar training images vote, each with weight exp(cosine / temperature).
    (N, D), (N,), (M, D), (M,) -> Score.

    Instance discrimination, arXiv 1805.01978, section 3.4; defaults of DINO. With fewer than k training images all of
    them vote. Equal votes go to the smaller label. A test image of a class that training never saw counts as wrong.
    Raises ValueError or TypeError for features or labels that do not fit, and for k or temperature not above 0.
    """
    train_x, train_y = check("train", train_x, train_y)
    test_x, test_y = check("test", test_x, test_y, dim=train_x.shape[1])
    if not isinstance(k, Integral) or k < 1 or not temperature > 0:
        raise ValueError(f"k is {k!r} and temperature {temperature}; k is a whole number from 1, temperature above 0.")
    classes, target = train_y.unique(return_inverse=True)
    cosine, near = nearest(test_x, train_x, k=min(k, len(train_x)))  # (N, k), (N, k)
    weight = ((cosine - cosine[:, :1]) / temperature).exp()  # relative to the nearest, so that exp cannot overflow
    votes = weight.new_zeros(len(test_x), len(classes)).scatter_add_(1, target[near], weight)
    return accuracy(classes[votes.argmax(1)] == test_y)
