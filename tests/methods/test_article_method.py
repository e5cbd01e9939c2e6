"""The founding article's method: what its joint loss trains, what it does not, and where that ends."""

import copy

import pytest
import torch
from torch import nn

from sslkit import augment, evaluation, nets, recipes
from sslkit.augment import Policy
from sslkit.fine_tune import fine_tune
from sslkit.losses import distance_contrast, weight_penalty
from sslkit.methods import ArticleSimCLR, Batch, Fusion
from sslkit.train import TrainConfig, fit

FINE = dict(batch_size=64, device="cpu", precision="float32", channels_last=False)
QUICK = {**FINE, "marks": 0}


def article(**options):
    torch.manual_seed(0)
    encoder = nets.small_resnet(widths=(8, 16), norm="group")
    return ArticleSimCLR(encoder, **{"n_images": 100, "dim": 12, "hidden": 5, **options})


def batch(views=2, n=6):
    torch.manual_seed(1)
    return Batch([torch.rand(n, 3, 16, 16) for _ in range(views)], torch.arange(n))


def test_every_view_has_a_network_and_a_matrix_of_its_own():
    method, views = article(), batch().views
    assert len(method.others) == 1
    assert not torch.equal(method.encoder(views[0]), method.others[0](views[0]))
    h1, h2 = method.represent(views)
    W1, W2 = (W.weight for W in method.projections)
    assert all(W.bias is None for W in method.projections)
    assert torch.allclose(h1, method.encoder(views[0]) @ W1.T, atol=1e-6)
    assert torch.allclose(h2, method.others[0](views[1]) @ W2.T, atol=1e-6)


def test_shared_is_one_network_for_all_views():
    method, views = article(shared=True), batch().views
    assert (len(method.others), len(method.projections)) == (0, 1)
    h1, h2 = method.represent([views[0], views[0]])
    assert torch.equal(h1, h2)


def test_all_networks_know_the_pixel_statistics(tiny_shapes):
    method = recipes.method("article", tiny_shapes)
    assert torch.equal(method.others[0].mean, method.encoder.mean)
    assert torch.equal(method.others[0].std, method.encoder.std)
    assert not torch.equal(method.encoder.mean, torch.full((3, 1, 1), 0.5))


def test_every_network_begins_with_filters_from_patches_and_ends_whitened(tiny_shapes):
    encoder = nets.small_resnet(widths=(8, 16), patches=True, whiten=True)
    method = recipes.method("article", tiny_shapes, encoder=encoder)
    filters = [network.body[0].weight for network in (method.encoder, *method.others)]
    assert torch.equal(*filters)
    method.finish(lambda: tiny_shapes.train.images)
    assert all(network.whitening.fitted for network in (method.encoder, *method.others))


@pytest.mark.parametrize("views", [2, 3])
def test_loss_is_the_articles_formula(views):
    method = article(policies=[Policy()] * views, lambda_=0.7, omega=0.3, p=1.5, sigma=2.0, epsilon=0.01)
    data = batch(views)
    terms, h = method(data), method.represent(data.views)
    pairs = [(i, j) for i in range(views) for j in range(i)]
    contrast = sum(distance_contrast(h[i], h[j], sigma=2.0, epsilon=0.01) for i, j in pairs) / len(pairs)
    penalty = weight_penalty([p.detach() for p in method.parameters()], p=1.5)
    assert terms["contrast"].item() == pytest.approx(contrast.item(), rel=1e-6)
    assert terms["penalty"].item() == pytest.approx(penalty.item(), rel=1e-6)
    assert terms["loss"].item() == pytest.approx((0.7 * contrast + 0.3 * penalty).item() / 200, rel=1e-6)


def test_the_contrast_leaves_g_without_a_gradient():
    """Row L6 of docs/article.md: g is in the joint loss by its weights in Ω only."""
    method = article(omega=0.5)
    g = list(method.g.parameters())
    contrast = method(batch())["contrast"]
    assert torch.autograd.grad(contrast, g, retain_graph=True, allow_unused=True) == (None,) * len(g)
    others = [p for p in method.parameters() if all(p is not q for q in g)]
    assert all(grad.abs().sum() > 0 for grad in torch.autograd.grad(contrast, others))
    method(batch())["loss"].backward()
    for p in g:
        assert torch.allclose(p.grad, 0.5 * 2 * p / 200)  # omega * the gradient of ‖θ‖² / 2N: no picture is in it


def test_without_a_penalty_the_gradient_of_g_is_zero_but_there():
    method = article(omega=0.0)
    method(batch())["loss"].backward()
    assert all(
        (p.grad == 0).all() for p in method.g.parameters()
    )  # not None: several processes wait for every gradient


def test_twice_the_images_half_the_loss(tiny_shapes):
    once, twice = (article(n_images=n)(batch())["loss"].item() for n in (100, 200))
    assert twice == pytest.approx(once / 2, rel=1e-6)
    assert recipes.method("article", tiny_shapes).spec["n_images"] == len(tiny_shapes.train)


def test_only_the_penalty_shrinks_weights():
    assert all(group["decay"] == 0 for group in article().param_groups(0.5))


def test_the_bound_is_reached_by_weights_of_zero():
    method = article()
    with torch.no_grad():
        for p in method.parameters():
            p.zero_()
    assert method(batch())["loss"].item() == pytest.approx(method.reference_values(64)["bound"], rel=1e-6)
    assert article()(batch())["loss"].item() > method.reference_values(64)["bound"]


def trained(method, data, steps):
    fit(method, data, TrainConfig(steps=steps, **QUICK))
    return evaluation.collapse(evaluation.features(method.encoder, data.images))["rankme"]


def test_lambda_alone_collapses_and_negatives_do_not(tiny_shapes):
    """RankMe of the representation falls below 2 within 60 steps; SimCLR on the same network stays above 4."""
    build = lambda name, **options: recipes.method(
        name, tiny_shapes, encoder=nets.small_resnet(widths=(8, 16), norm="group"), **options
    )
    torch.manual_seed(0)
    assert trained(build("article", shared=True, omega=0.0), tiny_shapes, 60) < 2
    torch.manual_seed(0)
    assert trained(build("simclr", norm="group"), tiny_shapes, 60) > 4


def test_with_a_network_per_view_the_vectors_shrink_to_one_point(tiny_shapes):
    """The directions, which RankMe counts, last longer: the matrices have only to become small."""
    torch.manual_seed(0)
    encoder, x = nets.small_resnet(widths=(8, 16)), augment.to_float(tiny_shapes.images)
    method = recipes.method("article", tiny_shapes, encoder=encoder, omega=0.0)
    spread = lambda: method.represent([x, x])[0].var(dim=0).sum().item()
    before = spread()
    trained(method, tiny_shapes, 60)
    assert spread() < before / 10


def test_fusion_is_every_h_and_every_similarity():
    method, x = article(policies=[Policy()] * 3), batch().views[0]
    fusion = Fusion(method)
    h = method.represent([x, x, x])
    assert fusion.dim == 3 * 12 + 3
    assert torch.allclose(fusion(x), torch.cat([*h, method.g(h)], dim=1))


@pytest.mark.parametrize(("target", "least"), [("labels", 0.7), ("ground_hue", 0.3)])
def test_fusion_learns_classes_and_numbers_and_so_does_g(tiny_shapes, target, least):
    data = copy.copy(tiny_shapes)
    data.labels, data.names = (data.factors["ground_hue"][:, 0] > 0).long(), ("cold", "warm")  # easy classes
    torch.manual_seed(0)
    method = recipes.method("article", data, encoder=nets.small_resnet(widths=(8, 16)), dim=16)
    before = method.g.together.weight.clone()
    model, score = fine_tune(Fusion(method), data, target=target, steps=60, encoder_lr=1.0, **FINE)
    assert score.value > least
    assert torch.equal(method.g.together.weight, before)  # a copy was trained
    assert not torch.allclose(model.encoder.article.g.together.weight, before, atol=1e-3)


def test_bad_arguments():
    with pytest.raises(ValueError, match="policies has 1 entries"):
        article(policies=(Policy(),))
    own = nets.adapt(nn.Sequential(nn.Flatten(), nn.Linear(48, 4)), image_size=4)
    with pytest.raises(ValueError, match=r"cannot be built again .* Use shared=True"):
        ArticleSimCLR(own, n_images=10)
    assert ArticleSimCLR(own, n_images=10, shared=True).represent([torch.rand(2, 3, 4, 4)])[0].shape == (2, 128)
    with pytest.raises(ValueError, match="n_images must be"):
        article(n_images=0)(batch())
