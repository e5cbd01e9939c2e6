"""A scikit-learn transformer: pictures in, representations out, learnt without labels."""

from __future__ import annotations

import operator
from numbers import Integral

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sslkit import datasets, evaluation
from sslkit.datasets import Images
from sslkit.run import pretrain


class Embedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Learn a representation of pictures in `fit`, give it in `transform`: (N, ...) -> (N, D) float32.

    X is (N, H, W), (N, C, H, W) or (N, H, W, C); or 2-D, one picture a row, with `image_shape=(C, H, W)` or `(H, W)`, one
    side of which may be -1. Where X could be both, image_shape=(C, H, W) says that it is (N, C, H, W). `transform` takes the
    same pictures in each of these forms. uint8 runs from 0 to 255. In any other type the smallest and the largest value seen
    in `fit` are black and white, and what lies beyond them in `transform` is cut off. After a `fit` on uint8 they are 0 and
    255, and floats of at most 1 raise ValueError rather than become black. y is not looked at.

    method: a name, see `sslkit.pretrain`. steps: optimiser steps. batch_size: at most, it is never more than the pictures.
    options: a dictionary of whatever else `sslkit.pretrain` takes, such as {"temperature": 0.2, "lr": 1e-3}.
    After `fit`: `encoder_` (the network), `history_` (what happened), `image_shape_`, `pixel_range_`, `dtype_` (of X).
    """

    def __init__(self, method="simclr", *, steps=1000, image_shape=None, batch_size=256, seed=0, options=None):
        self.method, self.steps, self.image_shape = method, steps, image_shape
        self.batch_size, self.seed, self.options = batch_size, seed, options

    def fit(self, X, y=None):
        """Learn from X without labels. Returns itself; the same seed gives the same encoder."""
        if not isinstance(self.options, dict | None):
            raise TypeError(f'options is {self.options!r}; give a dictionary, such as {{"temperature": 0.2}}, or None.')
        options = self.options or {}
        if "data" in options:
            raise ValueError("options has 'data': the pictures are X, the first argument of fit.")
        if own := sorted(set(options) & set(self.get_params(deep=False))):
            raise ValueError(f"options has {own[0]!r}: say Embedding({own[0]}={options[own[0]]!r}) instead.")
        X = validate_data(self, X, allow_nd=True, ensure_min_samples=2)
        self.n_features_in_, self.dtype_ = X[0].size, X.dtype
        self.pixel_range_ = (0.0, 255.0) if X.dtype == np.uint8 else (float(X.min()), float(X.max()))
        x = self._pictures(X)
        self.image_shape_ = tuple(x.shape[1:])
        data = Images(x, None, torch.zeros(len(x), dtype=torch.uint8))  # all of it is the training split
        size = min(self.batch_size, len(x)) if isinstance(self.batch_size, Integral) else self.batch_size
        settings = {"batch_size": size, "marks": 0, "progress": False, **options}
        run = pretrain(self.method, data, steps=self.steps, seed=self.seed, **settings)
        if run.stopped:  # Ctrl-C ends a training in good order, but this is not fitted
            raise KeyboardInterrupt
        self.encoder_, self.history_ = run.encoder, run.history
        return self

    def transform(self, X):
        """Representations of X, (N, D) float32."""
        check_is_fitted(self)
        given, X = X, check_array(X, allow_nd=True, estimator=self, input_name="X")
        if X.ndim == 2:  # only rows have columns that could be counted, and names for them
            validate_data(self, given, reset=False, skip_check_array=True)
        if self.pixel_range_[1] > 2 and X.dtype.kind == "f" and 0 < X.max() <= 1:
            raise ValueError(
                f"X is {X.dtype} with {X.max():.4g} as its largest number, but fit saw {self.dtype_} up to "
                f"{self.pixel_range_[1]:g}: give the same scale, such as X * 255."
            )
        x = self._pictures(X)
        if tuple(x.shape[1:]) != self.image_shape_:
            raise ValueError(f"X has pictures of shape {tuple(x.shape[1:])}, but fit saw {self.image_shape_}.")
        return evaluation.features(self.encoder_, x).numpy()

    def _pictures(self, X):
        """Anything that `fit` takes -> uint8 (N, C, H, W)."""
        layout, shape = None, self._shape()
        if X.ndim == 4 and {X.shape[1], X.shape[3]} <= {1, 3, 4}:
            if not shape:
                raise ValueError(
                    f"X of shape {X.shape} may be (N, C, H, W) or (N, H, W, C): give the first, and say "
                    "image_shape=(C, H, W)."
                )
            layout = "NCHW"
        if X.ndim == 2:
            if not shape:
                raise ValueError(
                    f"X has rows of {X.shape[1]} numbers: say image_shape=(C, H, W), the shape of a picture."
                )
            try:
                X, layout = X.reshape(len(X), *shape), "NCHW"
            except ValueError:
                raise ValueError(f"X has {X.shape[1]} columns, which are no image_shape={self.image_shape}.") from None
            if X.shape[1] not in (1, 3, 4) and X.shape[3] in (1, 3, 4):
                raise ValueError(
                    f"image_shape is {self.image_shape}, but channels come first: give (C, H, W), and X as (N, H, W, C) if "
                    "they come last in its rows."
                )
        if X.ndim == 3 and shape:
            X, layout = X[:, None], "NCHW"  # (N, H, W), even if W is 1, 3 or 4
        if X.dtype != np.uint8:
            low, high = self.pixel_range_
            X = (np.clip(X.astype(np.float64), low, high) - low) / ((high - low) or 1)  # whole numbers could overflow
        x = datasets.arrays(X.astype(np.float32) if X.dtype == np.float64 else X, layout=layout).images
        picture = tuple(x.shape[1:])
        if any(side not in (-1, got) for side, got in zip(shape, picture)):
            raise ValueError(
                f"X has pictures of shape {picture}, channels first, but image_shape is {self.image_shape}: they must agree."
            )
        for axis in (2, 3):
            x = x.repeat_interleave(2, axis) if x.shape[axis] == 1 else x  # a network that halves needs two pixels
        return x

    def _shape(self):
        """image_shape as (C, H, W), () if it was not given."""
        if self.image_shape is None:
            return ()
        try:
            shape = tuple(map(operator.index, self.image_shape))
        except TypeError:
            shape = ()
        if len(shape) not in (2, 3):
            raise ValueError(
                f"image_shape is {self.image_shape!r}; give whole numbers, (C, H, W) or (H, W), such as (3, 32, 32)."
            )
        return (1, *shape)[-3:]

    @property
    def _n_features_out(self):
        return self.encoder_.dim

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
