"""The collapse report: closed forms, oracles, verdicts, and no input that breaks it."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from sslkit.evaluation import collapse


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_number_against_an_oracle():
    x, x2 = normal(300, 40) + 1, normal(300, 40, seed=1) + 1
    report = collapse(x, x2)
    z, z2 = F.normalize(x.double(), dim=1), F.normalize(x2.double(), dim=1)
    sigma = torch.linalg.svdvals(x.double())
    assert report["std"] == pytest.approx(z.std(0, correction=0).mean().item(), rel=1e-6)
    assert report["std_spread"] == pytest.approx(1 / math.sqrt(40))
    assert report["alignment"] == pytest.approx((z - z2).norm(dim=1).square().mean().item(), rel=1e-6)
    assert report["uniformity"] == pytest.approx(torch.pdist(z).square().mul(-2).exp().mean().log().item(), rel=1e-6)
    assert report["rankme"] == pytest.approx(math.exp(entropy(sigma / sigma.sum())), rel=1e-3)  # scipy has no epsilon
    p = sigma / sigma.sum() + 1e-7
    assert report["rankme"] == pytest.approx((-(p * p.log()).sum()).exp().item(), rel=1e-6)
    assert torch.allclose(report["spectrum"].double(), sigma / sigma.sum(), atol=1e-7)
    assert (report["n"], report["dim"]) == (300, 40)
    assert collapse(x)["alignment"] is None


def test_rank_is_the_rank():
    """r equal singular values: RankMe is r, within 2 % in spite of its epsilon, also where D is much larger."""
    for rank, dim in [(8, 512), (64, 512), (64, 1024)]:
        left, right = (torch.linalg.qr(normal(n, rank).double()).Q for n in (2048, dim))
        report = collapse(left @ right.T)
        assert report["rankme"] == pytest.approx(rank, rel=0.02)
        assert report["spectrum"][rank:].sum() < 1e-4
    assert collapse(torch.eye(30))["rankme"] == pytest.approx(30, rel=1e-4)


def test_closed_forms():
    assert collapse(normal(2048, 512))["uniformity"] == pytest.approx(-3.98, abs=0.05)
    even = collapse(normal(2048, 64))
    assert even["std"] == pytest.approx(1 / 8, rel=0.02)
    same = collapse(torch.ones(50, 6), torch.ones(50, 6))
    assert same["uniformity"] == pytest.approx(0, abs=1e-9)
    assert same["alignment"] == pytest.approx(0, abs=1e-9)
    assert same["std"] == pytest.approx(0, abs=1e-9)
    assert same["rankme"] == pytest.approx(1, abs=1e-4)
    opposite = collapse(normal(50, 6), -normal(50, 6))
    assert opposite["alignment"] == pytest.approx(4)
    two = torch.tensor([[1.0, 0], [0, 1]])
    assert collapse(two)["uniformity"] == pytest.approx(-4)  # one pair at squared distance 2


COLLAPSED = {
    "constant": torch.full((200, 32), 0.3),
    "dead": torch.zeros(200, 32),
    "one line": normal(200, 1) * normal(1, 32, seed=1),
    "almost constant": torch.ones(200, 32) + 1e-3 * normal(200, 32),
    "almost one line": normal(200, 1) * normal(1, 32, seed=1) + 1e-3 * normal(200, 32, seed=2),
    "tiny": torch.full((200, 32), 1e-30),
}
PARTLY = {
    "few directions": normal(500, 3) @ normal(3, 256, seed=1),
    "few of few directions": normal(500, 3) @ normal(3, 32, seed=1) + 0.01 * normal(500, 32, seed=2),
    "few directions of many": normal(500, 20) @ normal(20, 1024, seed=1),
    "narrow cone": 6 + normal(500, 64),
}
SPREAD = {
    "normal": normal(200, 32),
    "after a ReLU": normal(500, 64).relu(),
    "ten of 128 directions": normal(500, 10) @ normal(10, 128, seed=1),
    "a circle": F.normalize(normal(100, 2), dim=1),
    "clusters": torch.eye(10).repeat(20, 1) + 0.05 * normal(200, 10),
    "fewer images than dimensions": normal(20, 300),
}
EXPECTED = {"collapsed": COLLAPSED, "partly": PARTLY, "spread out": SPREAD}


@pytest.mark.parametrize(
    ("x", "verdict"),
    [(x, verdict) for verdict, group in EXPECTED.items() for x in group.values()],
    ids=[*COLLAPSED, *PARTLY, *SPREAD],
)
def test_the_verdict(x, verdict):
    sentence = collapse(x)["verdict"]
    assert sentence.startswith(verdict)
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (PARTLY["few directions"], "in few directions ("),
        (PARTLY["narrow cone"], "by little ("),
        (0.1 * PARTLY["few directions"] + torch.arange(256) % 2, "in few directions and by little ("),
    ],
)
def test_a_part_of_a_collapse_names_what_is_low(x, why):
    assert collapse(x)["verdict"].startswith(f"partly collapsed: images differ {why}")


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (normal(500, 32) + 50, True),  # a large part that all share, and behind it a cloud in all directions
        (normal(500, 3) @ normal(3, 32, seed=1) + 50, False),  # behind it there are few directions, too
        (torch.rand(32) * (1 + 1e-7 * normal(500, 32)), False),  # behind it there is only rounding
        (normal(500, 32) + 0.2, False),  # spread out: there is nothing to explain
    ],
)
def test_a_mean_that_hides_the_rest_is_named(x, said):
    report = collapse(x)
    assert ("Only an exam tells" in report["verdict"]) == said
    square = x.double().square()
    assert report["shared"] == pytest.approx(
        (x.double().mean(0).square().sum() / square.sum(1).mean()).item(), rel=1e-3
    )
    if said:
        centred = collapse(x - x.mean(0))["rankme"]
        assert f"without it RankMe is {centred:.1f}" in report["verdict"]


def test_scale_and_order_do_not_matter():
    x = normal(200, 16) + 1
    report = collapse(x)
    for other in (x * 1e-20, x * 1e18, x[torch.randperm(200)]):
        found = collapse(other)
        for name in ("std", "uniformity", "rankme"):
            assert found[name] == pytest.approx(report[name], rel=1e-4)


def test_large_sets_are_sampled_repeatably():
    x, x2 = normal(5000, 8), normal(5000, 8, seed=1)
    state = torch.random.get_rng_state()
    report = collapse(x, x2)
    assert report["n"] == 2048
    assert report["uniformity"] == collapse(x)["uniformity"]
    assert report["uniformity"] != collapse(x, seed=1)["uniformity"]
    assert collapse(x, x)["alignment"] == 0  # the same rows of both
    assert torch.equal(state, torch.random.get_rng_state())


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000), st.sampled_from([0.0, 1e-38, 1e-10, 1.0, 1e15, 1e38]),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_finite_for_any_size_and_scale(n, dim, seed, scale, constant):
    x = torch.ones(n, dim) if constant else normal(n, dim, seed=seed).clamp(-2, 2)
    x = scale * x
    report = collapse(x, x)
    for name in ("std", "std_spread", "alignment", "uniformity", "rankme"):
        assert math.isfinite(report[name]), name
    assert report["spectrum"].isfinite().all()
    assert report["spectrum"].sum() == pytest.approx(1, abs=1e-5)
    assert len(report["spectrum"]) == min(n, dim)
    assert 0.999 <= report["rankme"] <= min(n, dim) * 1.001
    assert report["uniformity"] <= 1e-9
    assert (n == 1) == report["verdict"].startswith("unknown")


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_is_a_clear_error(bad):
    x = normal(5, 3)
    x[2, 1] = bad
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        collapse(x)
    with pytest.raises(ValueError, match="x2 features"):
        collapse(normal(5, 3), x)
    with pytest.raises(ValueError, match="row i of both"):
        collapse(normal(5, 3), normal(4, 3))
    with pytest.raises(ValueError, match="at least one image"):
        collapse(normal(0, 3))
