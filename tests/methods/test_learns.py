"""Every method learns: after the steps stated here its encoder tells more than at its random start."""

from dataclasses import replace

import pytest
import torch

from sslkit import evaluation, nets, recipes, train
from sslkit.datasets import shapes

pytestmark = pytest.mark.slow
CONFIG = train.TrainConfig(
    steps=150, batch_size=128, device="cpu", precision="float32", channels_last=False, marks=0
)  # fmt: skip
# The article's loss collapses (test_article_method.py). BiGAN's game is not decided in any time that a test may take.
NOT_HERE = ("article", "bigan")
STEPS = {"mae": 600, "rotation": 600}
OPTIONS = {"mae": {"mask_ratio": 0.5}}  # 16 patches: of 4 visible ones alone nothing was learned in 300 steps


@pytest.fixture(scope="module")
def data():
    return shapes(3000, resolution=16)


def told(encoder, data):
    """What a linear probe reads of the object: its kind (accuracy), size and place (R²); the mean of the four."""
    x, parts = evaluation.split_features(encoder.eval(), data), (data.train, data.test, data.val)
    wanted = [{name: part.factors[name] for name in ("shape", "size", "x", "y")} for part in parts]
    read = evaluation.factors(x["train"], wanted[0], x["test"], wanted[1], val_x=x["val"], val_factors=wanted[2])
    return sum(float(score) for score in read.values()) / len(read)


@pytest.mark.parametrize("name", [name for name in recipes.METHODS if name not in NOT_HERE])
def test_the_encoder_improves_over_its_random_start(name, data):
    torch.manual_seed(0)
    own = {} if name in recipes.ENCODERS else {"encoder": nets.small_resnet(widths=(16, 32))}
    method = recipes.method(name, data, **own, **OPTIONS.get(name, {}))
    before = told(method.encoder, data)
    train.fit(method, data, replace(CONFIG, steps=STEPS.get(name, CONFIG.steps)))
    assert told(method.encoder, data) > before + 0.08
