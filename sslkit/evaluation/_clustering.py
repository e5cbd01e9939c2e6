"""Clustering: do the classes appear by themselves?"""

import warnings
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit import device
from sslkit.evaluation._score import check, check_features


def clustering(x: Tensor, y: Tensor, *, seed: int = 0) -> dict[str, float]:
    """k-means on the directions of the features, with as many clusters as there are classes, compared with the labels.

    (N, D), (N,) -> {"nmi", "ari", "accuracy"}: normalised mutual information (arithmetic mean), adjusted Rand index,
    and accuracy under the best one-to-one naming of clusters (Hungarian algorithm). k-means learns from the labels only
    how many classes there are. 1 is perfect; one class is always perfect.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    x, y = check("clustering", x, y)
    cluster = k_means(x, len(y.unique()), seed=seed)
    together = contingency_matrix(y, cluster)  # (K, K) how many images of class i are in cluster j
    right = together[linear_sum_assignment(together, maximize=True)].sum()
    nmi, ari = normalized_mutual_info_score(y, cluster), adjusted_rand_score(y, cluster)
    return {"nmi": float(nmi), "ari": float(ari), "accuracy": float(right / len(y))}


def k_means(x: Tensor, clusters: int, *, seed: int = 0) -> Tensor:
    """The cluster of each row by k-means on the directions of the features: (N, D) -> (N,), from 0 to clusters - 1."""
    from sklearn.cluster import KMeans

    x = check_features("clustered", x)
    if not isinstance(clusters, Integral) or not 1 <= clusters <= len(x):
        raise ValueError(f"clusters is {clusters!r}; give a whole number from 1 to the {len(x)} rows.")
    # A collapsed encoder has fewer points than clusters: the numbers will say so.
    with device.SCIKIT_LEARN, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = KMeans(clusters, n_init=4, random_state=seed)
        return torch.from_numpy(engine.fit_predict(F.normalize(x, dim=1).numpy())).long()
