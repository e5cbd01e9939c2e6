"""Encoders and heads: shapes, statistics, rebuilding from their description, norms, clear errors."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sslkit import nets
from sslkit.nets import vit


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("make", [nets.small_resnet, nets.resnet18])
def test_encoders_map_images_to_dim(make, norm, channels):
    encoder = make(channels, norm=norm)
    for side in (8, 28, 32):
        assert encoder(torch.rand(2, channels, side, side)).shape == (2, encoder.dim)


def test_all_stages_are_the_mean_activations_of_each():
    torch.manual_seed(0)
    encoder, x = nets.small_resnet(widths=(4, 6, 8), all_stages=True).eval(), torch.rand(3, 3, 16, 16)
    last = nets.small_resnet(widths=(4, 6, 8)).eval()
    last.load_state_dict(encoder.state_dict())
    stem, stages = list(encoder.body)[:3], list(encoder.body)[3:]
    seen, y = [], torch.nn.Sequential(*stem)(encoder.normalise(x))
    for stage in stages:
        y = stage(y)
        seen.append(y.flatten(2).mean(2))
    assert encoder.dim == 18
    assert torch.allclose(encoder(x), torch.cat(seen, 1), atol=1e-6)
    assert torch.allclose(encoder(x)[:, -8:], last(x), atol=1e-6)
    assert nets.build(encoder.spec).dim == 18


def test_a_grid_tells_where():
    """Quadrants: a picture that is moved by half its side gives the same numbers in other places."""
    torch.manual_seed(0)
    encoder, x = nets.small_resnet(widths=(4, 6, 8), grid=2).eval(), torch.rand(2, 3, 32, 32)
    whole = nets.small_resnet(widths=(4, 6, 8)).eval()
    whole.load_state_dict(encoder.state_dict())
    assert encoder.dim == 32
    told = encoder(x).view(2, 8, 4)
    torch.testing.assert_close(told.mean(2), whole(x))
    assert (told[:, :, 0] - told[:, :, 3]).abs().max() > 1e-3
    assert nets.small_resnet(widths=(4, 6, 8), grid=2, all_stages=True).dim == 72
    assert nets.build(encoder.spec).dim == 32


def test_whitening_gives_each_direction_its_share():
    torch.manual_seed(0)
    h = torch.randn(500, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64) + 3
    layer = nets.Whitening(6).double()
    assert torch.equal(layer(h), h)
    layer.fit(h, ridge=0.0)
    torch.testing.assert_close(layer(h).T @ layer(h) / 500, torch.eye(6, dtype=torch.float64), atol=2e-3, rtol=0)
    assert layer(h).mean(0).abs().max() < 1e-9
    z = (h - h.mean(0)) / h.std(0)
    v = torch.linalg.eigvalsh(z.T @ z / 500)
    layer.fit(h)
    torch.testing.assert_close(torch.linalg.eigvalsh(layer(h).T @ layer(h) / 500), v / (v + 1), atol=1e-6, rtol=1e-6)


def test_a_feature_that_first_speaks_in_a_test_picture_does_not_shout():
    """Silent on all training pictures, or nothing but rounding: a factor of a million would drown all others."""
    torch.manual_seed(0)
    h, layer = torch.randn(200, 4), nets.Whitening(4)
    h[:, 2], h[:, 3] = 0.0, 1e-20 * h[:, 3]
    layer.fit(h)
    awake = torch.tensor([[0.0, 0.0, 0.3, 0.3]])
    torch.testing.assert_close(layer(awake), layer(torch.zeros(1, 4)), atol=1e-6, rtol=0)
    assert layer(h).std(0)[:2].min() > 0.5


def test_a_fitted_encoder_can_be_pickled():
    x = torch.rand(300, 3, 16, 16)
    encoder = nets.small_resnet(widths=(4, 8), whiten=True).eval().finish(x)
    again = pickle.loads(pickle.dumps(encoder))
    assert torch.equal(again(x), encoder(x))
    again.load_state_dict(nets.small_resnet(widths=(4, 8), whiten=True).state_dict())
    assert not again.whitening.fitted


@pytest.mark.parametrize("make", [lambda: nets.adapt("torchvision/resnet18"), lambda: nets.PairCritic(3, 8)])
def test_every_network_of_the_kit_has_the_guard_against_unwritten_gradients(make):
    strided = [m for m in make().modules() if isinstance(m, torch.nn.Conv2d) and max(m.stride) > 1]
    assert strided
    assert all(type(layer).__name__ == "Strided" for layer in strided)


def test_the_guard_keeps_groups_and_dilation():
    plain = torch.nn.Conv2d(4, 8, 3, 2, 2, dilation=2, groups=2)
    guarded, x = copy.deepcopy(plain), torch.rand(2, 4, 9, 9)
    guarded.__class__ = nets.encoders.Strided
    assert torch.equal(guarded(x), plain(x))


def test_whitening_of_features_that_have_collapsed_is_finite():
    layer = nets.Whitening(4)
    layer.fit(torch.ones(10, 4))
    assert layer(torch.ones(3, 4)).abs().max() == 0
    layer.fit(torch.cat([torch.randn(10, 2), torch.zeros(10, 2)], 1), ridge=0.1)  # two dead units
    assert layer(torch.randn(3, 4)).isfinite().all()


@pytest.mark.parametrize("side", [(8, 8), (3, 3), (5, 4), (1, 7)])
@pytest.mark.parametrize("grid", [1, 2, 3])
def test_field_means_are_those_of_pytorch(side, grid):
    """Also where sides do not divide, which MPS has not."""
    x = torch.rand(2, 5, *side, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.adaptive_avg_pool2d(x, grid).flatten(1)
    found = nets.patches.field_means(x, grid)
    torch.testing.assert_close(found, expected)
    weight = torch.rand(expected.shape, dtype=torch.float64)
    torch.testing.assert_close(
        *(torch.autograd.grad((weight * h).sum(), x, retain_graph=True)[0] for h in (found, expected))
    )


def test_a_mirrored_encoder_tells_the_mean_of_both_sides():
    torch.manual_seed(0)
    ends = {"widths": (4, 6, 8), "grid": 2, "all_stages": True, "dictionary": 5}
    encoder, plain, x = nets.small_resnet(mirror=True, **ends), nets.small_resnet(**ends), torch.rand(64, 3, 16, 16)
    plain.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder.train()(x), plain.train()(x))  # not while it learns
    for each in (encoder, plain):
        each.eval().finish(x)
    torch.testing.assert_close(encoder(x), (plain(x) + plain(x.flip(3))) / 2)
    torch.testing.assert_close(encoder(x), encoder(x.flip(3)))
    assert not torch.allclose(plain(x), plain(x.flip(3)))
    whitened = nets.small_resnet(mirror=True, whiten=True, **ends).eval().finish(x)
    h = whitened(x)
    assert h.mean(0).abs().max() < 1e-4  # what is whitened is the mean of both
    assert nets.build(whitened.spec).mirror


FITTED = {
    "whiten": {"whiten": True},
    "dictionary": {"dictionary": 5},
    "both": {"dictionary": 5, "whiten": True},
    "all": {"dictionary": 5, "whiten": True, "mirror": True},
}


@pytest.mark.parametrize("ends", FITTED.values(), ids=FITTED)
def test_an_encoder_is_finished_as_often_as_one_likes(ends):
    torch.manual_seed(0)
    encoder, x = nets.small_resnet(widths=(4, 6, 8), **ends).eval(), torch.rand(64, 3, 16, 16)
    raw = encoder(x)
    assert raw.shape == (64, encoder.dim)
    first = encoder.finish(x)(x)
    assert not torch.allclose(first, raw)
    torch.testing.assert_close(encoder.finish(x)(x), first)
    rebuilt = nets.build(encoder.spec).eval()
    rebuilt.load_state_dict(encoder.state_dict())
    assert torch.equal(rebuilt(x), encoder(x))
    assert torch.equal(copy.deepcopy(encoder)(x), encoder(x))
    rebuilt.load_state_dict(nets.build(encoder.spec).state_dict())  # one that is not finished
    assert not rebuilt(x)[:, 8:].any() or not encoder.beside
    plain = nets.small_resnet(widths=(4, 6, 8)).eval()
    assert plain.finish(x) is plain  # nothing to do


def tiles(atoms, n=200, seed=0):
    """Pictures (n, C, 32, 32) tiled from patches (A, C, s, s) of different strength, and which (n, tiles)."""
    g, size, count = torch.Generator().manual_seed(seed), atoms.shape[-1], (32 // atoms.shape[-1]) ** 2
    chosen, strength = torch.randint(len(atoms), (n, count), generator=g), 0.5 + torch.rand(n, count, 1, generator=g)
    parts = atoms.flatten(1)[chosen] * strength
    parts = parts + 0.01 * torch.randn(parts.shape, generator=g)
    return torch.nn.functional.fold(parts.transpose(1, 2), 32 // size * size, size, stride=size), chosen


def test_a_dictionary_finds_the_patches_that_pictures_are_made_of():
    """Each gets a filter that answers most to it, up to its sign and length."""
    atoms = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    atoms = atoms - atoms.mean((1, 2, 3), keepdim=True)
    x, _ = tiles(atoms)
    filters = nets.dictionary(x, 8, 4)
    assert filters.shape == (8, 3, 4, 4)
    answers = (filters.flatten(1) @ atoms.flatten(1).T).argmax(1)
    assert set(answers.tolist()) == {0, 1, 2}
    assert torch.equal(filters, nets.dictionary(x, 8, 4))
    assert nets.dictionary(torch.zeros(9, 1, 8, 8), 4, 4).isfinite().all()  # nothing to see
    with pytest.raises(ValueError, match="4 patches of 4x4 are too few for 8 filters"):
        nets.dictionary(x[:1, :, :8, :8], 8, 4)


def test_a_patch_dictionary_is_what_its_definition_says():
    """Against NumPy loops: cut out, take off the mean, whiten, compare directions, what exceeds the mean, field by field."""
    torch.manual_seed(0)
    x = torch.rand(40, 2, 12, 12)
    layer = nets.PatchDictionary(2, 6, size=4)
    assert layer.dim == 24
    assert not layer(x).any()
    layer.fit(x)
    told = layer(x[:2]).numpy()
    whiten, centres, length = (
        v.numpy() if hasattr(v, "numpy") else v for v in nets.patches.typical(x, 6, 4, ridge=0.01)
    )
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, rtol=1e-5)
    padded = np.pad(x[:2].numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.zeros((2, 6, 6, 6))
    for b, i, j in np.ndindex(2, 6, 6):
        patch = padded[b, :, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4].ravel()
        z = whiten @ (patch - patch.mean())
        cosine = centres @ z / (np.linalg.norm(z) + 0.5 * length)
        expected[b, :, i, j] = np.maximum(cosine - cosine.mean(), 0)
    fields = expected.reshape(2, 6, 2, 3, 2, 3).mean((3, 5))
    np.testing.assert_allclose(told, fields.reshape(2, 24), atol=1e-5)


def test_a_patch_dictionary_tells_what_is_where_whatever_the_contrast():
    atoms = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    x, _ = tiles(atoms)
    layer = nets.PatchDictionary(1, 3)
    layer.fit(x)
    here = torch.zeros(3, 1, 24, 24)
    here[:, :, 4:10, 4:10] = atoms - atoms.mean((1, 2, 3), keepdim=True)  # in the first quadrant, on the layer's grid
    told = layer(here).view(3, 3, 4)
    assert (told[:, :, 0].argmax(1).unique().numel(), told.flatten(1).argmax(1).remainder(4).tolist()) == (3, [0, 0, 0])
    torch.testing.assert_close(layer(20 * here), layer(10 * here), atol=0.02, rtol=0.05)
    assert layer(torch.ones(1, 1, 24, 24))[0].view(3, 4).std(1).max() < 0.05  # nothing to see but the border


def test_of_many_patches_a_share_is_enough(monkeypatch):
    x, seen = torch.rand(40, 3, 12, 12), []
    monkeypatch.setattr(nets.patches, "MOST", 50)  # of 160
    unfold = torch.nn.functional.unfold
    monkeypatch.setattr(nets.patches.F, "unfold", lambda x, *a, **k: seen.append(x) or unfold(x, *a, **k))
    nets.PatchDictionary(3, 6).fit(x)
    assert torch.equal(seen[0], x[::4])  # 40 patches


def test_an_encoder_shows_its_dictionary_what_its_body_sees():
    x = (
        torch.rand(50, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1.0, 0.3, 0.1])[:, None, None]
    )
    encoder, alone = nets.small_resnet(widths=(4, 6, 8), grid=2, dictionary=5), nets.PatchDictionary(3, 5)
    encoder.set_statistics(x).eval().finish(x)
    alone.fit(encoder.normalise(x))
    assert torch.equal(encoder.beside.filters, alone.filters)
    assert torch.equal(encoder(x)[:, 4 * 8 :], alone(encoder.normalise(x)))


@pytest.mark.parametrize("shape", [(30, 3, 8, 8), (30, 3, 4, 4), (2, 3, 32, 32), (5, 3, 5, 50)])
def test_pictures_too_few_or_too_small_for_a_dictionary_are_told_without(shape):
    encoder, x = nets.small_resnet(widths=(4, 6, 8), dictionary=64, whiten=True).eval(), torch.rand(shape)
    assert encoder.finish(x)(x).isfinite().all()
    assert not encoder.beside(x).any()


def test_first_filters_come_from_the_pictures_and_are_remembered():
    torch.manual_seed(0)
    encoder, x = nets.small_resnet(widths=(4, 6, 8), patches=True), torch.rand(50, 3, 16, 16)
    random = encoder.body[0].weight.clone()
    encoder.set_statistics(x)
    assert torch.equal(encoder.body[0].weight, encoder.first_filters)
    assert not torch.equal(encoder.body[0].weight, random)
    with torch.no_grad():
        encoder.body[0].weight.add_(1)  # training
    other = nets.build(encoder.spec).begin_like(encoder)
    assert torch.equal(other.body[0].weight, encoder.first_filters)
    assert torch.equal(other.mean, encoder.mean)


def test_small_resnet_size_is_what_the_documentation_says():
    assert sum(p.numel() for p in nets.small_resnet().parameters()) == 308_032


@pytest.mark.parametrize("channels", [1, 3])
def test_transformer_takes_every_size_that_can_be_cut(channels):
    encoder = nets.tiny_vit(channels, dim=32, depth=1)
    for H, W in ((8, 8), (28, 28), (32, 32), (4, 12)):
        assert encoder(torch.rand(2, channels, H, W)).shape == (2, 32)
    with pytest.raises(ValueError, match=r"Images of 30x32 cannot be cut into patches of 4x4: both sides must be"):
        encoder(torch.rand(2, channels, 30, 32))
    for wrong in ({"dim": 30}, {"dim": 32, "heads": 3}):
        with pytest.raises(ValueError, match=rf"dim is {wrong['dim']}; it must be a multiple of heads="):
            nets.tiny_vit(**wrong)


def test_patches_are_squares_row_by_row_and_can_be_put_together_again():
    x = torch.arange(2 * 3 * 8 * 12.0).reshape(2, 3, 8, 12)
    cut = vit.patches(x, 4)
    assert cut.shape == (2, 6, 48)
    assert torch.equal(cut[1, 4].reshape(3, 4, 4), x[1, :, 4:8, 4:8])  # second row, second column
    assert torch.equal(vit.unpatch(cut, 8, 12), x)
    layout = x.to(memory_format=torch.channels_last)
    assert torch.equal(vit.patches(layout, 4), cut)


def test_positions_are_the_published_sines_and_cosines_and_all_differ():
    where = vit.positions(3, 5, 16, torch.zeros(1, dtype=torch.float64))
    assert where.shape == (1, 15, 16)
    assert where.dtype == torch.float64
    for i, j in ((0, 0), (1, 2), (2, 4)):
        rates = [10000 ** (-k / 4) for k in range(4)]
        row = [math.sin(i * r) for r in rates] + [math.cos(i * r) for r in rates]
        column = [math.sin(j * r) for r in rates] + [math.cos(j * r) for r in rates]
        assert where[0, 5 * i + j].tolist() == pytest.approx(row + column, abs=1e-6)
    assert torch.pdist(where[0]).min() > 0.1


def test_transformer_knows_where_patches_are_and_attention_is_the_textbooks():
    encoder, x = nets.tiny_vit(dim=32, depth=1).eval(), torch.rand(2, 3, 8, 8)
    swapped = torch.cat((x[:, :, 4:], x[:, :, :4]), dim=2)
    assert not torch.allclose(encoder(x), encoder(swapped), atol=1e-4)
    block, t = encoder.body.blocks[0], torch.randn(2, 5, 32)
    shuffled = torch.tensor([3, 1, 4, 0, 2])
    assert torch.allclose(block(t)[:, shuffled], block(t[:, shuffled]), atol=1e-5)  # the block itself does not
    oracle = nn.MultiheadAttention(32, 4, batch_first=True)
    oracle.in_proj_weight.data, oracle.in_proj_bias.data = block.query_key_value.weight, block.query_key_value.bias
    oracle.out_proj.weight.data, oracle.out_proj.bias.data = block.mix.weight, block.mix.bias
    seen = t + oracle(*[block.norm1(t)] * 3, need_weights=False)[0]
    assert torch.allclose(block(t), seen + block.mlp(block.norm2(seen)), atol=1e-5)


def test_transformer_drops_patches_before_anything_looks_at_them():
    body, x = nets.tiny_vit(dim=32, depth=2).body, torch.rand(2, 3, 8, 8)
    everything = torch.arange(4).expand(2, -1)
    assert torch.allclose(body.tokens(x, everything), body.tokens(x), atol=1e-6)
    assert torch.allclose(body.tokens(x, everything.flip(1)), body.tokens(x).flip(1), atol=1e-5)
    keep = torch.tensor([[2, 0], [1, 3]])
    assert body.tokens(x, keep).shape == (2, 2, 32)
    x[0, :, :4, 4:] = torch.nan  # patch 1 of the first image
    assert body.tokens(x, keep).isfinite().all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (5, 33)])
def test_decoder_paints_any_size(channels, norm, size):
    decoder = nets.ImageDecoder(10, channels, image_size=size, norm=norm)
    z = torch.randn(3, 10)
    painted = decoder(z)
    assert painted.shape == (3, channels, *size)
    assert 0 <= painted.min() < painted.max() <= 1
    painted.sum().backward()
    assert all(p.grad is not None for p in decoder.parameters())
    if norm == "group":
        assert torch.allclose(painted[:1], decoder(z[:1]), atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (5, 33)])
def test_critic_judges_any_size(size):
    critic = nets.PairCritic(1, 7, image_size=size)
    assert critic(torch.rand(3, 1, *size), torch.randn(3, 7)).shape == (3,)


@pytest.mark.parametrize("make", [nets.small_resnet, nets.resnet18])
def test_group_norm_encoder_sees_one_image_only(make):
    encoder, x = make(norm="group").train(), torch.rand(4, 3, 16, 16)
    alone = torch.cat([encoder(image[None]) for image in x])
    assert torch.allclose(encoder(x), alone, atol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in encoder.modules())


def test_batch_norm_encoder_mixes_images_in_training():
    encoder, x = nets.small_resnet().train(), torch.rand(4, 3, 16, 16)
    assert not torch.allclose(encoder(x)[:2], encoder(x[:2]), atol=1e-3)


def test_statistics_are_buffers_and_normalise():
    x = torch.rand(50, 3, 8, 8) * torch.tensor([0.2, 0.5, 1.0]).reshape(3, 1, 1)
    encoder = nets.small_resnet().set_statistics(x)
    seen = []
    encoder.body.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    encoder(x)
    assert torch.allclose(seen[0].mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(seen[0].std((0, 2, 3)), torch.ones(3), atol=1e-5)
    assert {"mean", "std"} <= set(encoder.state_dict())


def test_constant_channel_does_not_divide_by_zero():
    x = torch.zeros(4, 3, 8, 8)
    assert nets.small_resnet().set_statistics(x)(x).isfinite().all()


@pytest.mark.parametrize(
    "encoder",
    [
        lambda: nets.small_resnet(1, widths=(8, 16), norm="group"),
        lambda: nets.resnet18(3, norm="group"),
        lambda: nets.tiny_vit(1, patch=8, dim=16, depth=1, heads=2),
        lambda: nets.adapt("torchvision/mobilenet_v3_small", in_channels=1),
        lambda: nets.adapt("timm/resnet10t", in_channels=1),
    ],
)
def test_build_makes_the_same_network_again(encoder):
    encoder = encoder().eval()
    again = nets.build(encoder.spec).eval()
    again.load_state_dict(encoder.state_dict())
    x = torch.rand(2, encoder.in_channels, 32, 32)
    assert torch.equal(encoder(x), again(x))
    assert (again.dim, again.spec) == (encoder.dim, encoder.spec)


def test_adapt_takes_a_module_and_leaves_its_mode():
    body = nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.BatchNorm1d(5))
    encoder = nets.adapt(body, image_size=4)
    assert encoder.dim == 5
    assert body.training
    assert encoder.spec is None


def test_adapt_explains_networks_without_a_last_layer_or_with_more_to_say():
    with pytest.raises(ValueError, match="This SqueezeNet ends in no linear layer"):
        nets.adapt("torchvision/squeezenet1_0", image_size=64)
    with pytest.raises(ValueError, match="returned a GoogLeNetOutputs in train mode"):
        nets.adapt("torchvision/googlenet", init_weights=False, image_size=64)
    with pytest.raises(ValueError, match="width is 50; it must be a multiple of heads=4 and of 4"):
        nets.PatchDecoder(16, 48, width=50)


def test_adapt_explains_feature_maps():
    with pytest.raises(ValueError, match=r"must return \(B, dim\) and returned \(2, 4, 32, 32\)"):
        nets.adapt(nn.Conv2d(3, 4, 1))


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (3, 8, 8)])
def test_wrong_input_is_one_sentence(shape):
    with pytest.raises(ValueError, match=r"takes images of shape \(B, 3, H, W\)"):
        nets.small_resnet()(torch.rand(shape))


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'group'"):
        nets.small_resnet(norm="groups")
    with pytest.raises(ValueError, match="Did you mean 'small_resnet'"):
        nets.build({"name": "smallresnet"})
    with pytest.raises(ValueError, match="Unknown model library 'keras'"):
        nets.adapt("keras/resnet")


def test_projection_head_shape_and_norm():
    assert nets.projection_head(8, 16, 4)(torch.rand(3, 8)).shape == (3, 4)
    head = nets.projection_head(8, 16, 4, norm="group")
    x = torch.rand(3, 8)
    assert torch.allclose(head(x)[:1], head(x[:1]), atol=1e-6)


def test_similarity_network_is_linear_and_sees_every_view():
    g, h = nets.SimilarityNetwork(6, 3, hidden=4), [torch.rand(5, 6) for _ in range(3)]
    assert g(h).shape == (5, 3)
    zero = g([0 * x for x in h])
    assert torch.allclose(g([2 * x for x in h]) - zero, 2 * (g(h) - zero), atol=1e-5)
    for i in range(3):
        assert not torch.allclose(g([x + (i == j) for j, x in enumerate(h)]), g(h))


def test_mlp_critic_is_one_layer_on_the_concatenation():
    critic, a, b = nets.critic("mlp", 6), torch.rand(5, 6), torch.rand(4, 6)
    scores = critic(a[:, None], b[None])
    assert scores.shape == (5, 4)
    pair = torch.cat([a[2], b[3]])
    weight = torch.cat([critic.first.weight, critic.second.weight], dim=1)
    hidden = nn.functional.leaky_relu(weight @ pair + critic.first.bias)
    assert torch.allclose(scores[2, 3], critic.score(hidden)[0], atol=1e-6)
    assert torch.allclose(critic(a[:4], b), scores[:4].diagonal(), atol=1e-6)


def test_bilinear_critic_is_a_matrix():
    critic, a, b = nets.critic("bilinear", 6), torch.rand(5, 6), torch.rand(4, 6)
    assert torch.allclose(critic(a[:, None], b[None]), a @ critic.matrix.weight.T @ b.T, atol=1e-6)
    assert torch.allclose(critic(a[:4], b), critic(a[:4, None], b[None]).diagonal(), atol=1e-6)


def test_discriminator_scores_pictures_of_any_size_one_by_one():
    judge = nets.discriminator(1)
    for side in (8, 28, 32):
        assert judge(torch.rand(3, 1, side, side)).shape == (3,)
    x = torch.rand(4, 1, 16, 16)
    assert torch.allclose(judge(x)[:1], judge(x[:1]), atol=1e-6)


def test_a_block_does_not_stride_along_a_side_of_one_pixel():
    """The same numbers as PyTorch's convolution, and in bfloat16 no gradient from memory that nobody wrote."""
    block = nets.small_resnet(widths=(64, 128)).body[4]
    plain = nn.Conv2d(64, 128, 3, 2, 1, bias=False)
    plain.weight = block.conv1.weight
    for side in ((1, 1), (2, 1), (1, 3), (4, 4), (5, 2)):
        x = torch.randn(16, 64, *side, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
        torch.testing.assert_close(block.conv1(x), plain(x))
        (exact,) = torch.autograd.grad(plain(x).square().sum(), plain.weight)
        for _ in range(3):
            with torch.autocast("cpu", torch.bfloat16):
                y = block.conv1(x)
            waste = [torch.full_like(exact, torch.nan, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)] * 4
            del waste
            (found,) = torch.autograd.grad(y.float().square().sum(), plain.weight)
            assert (found - exact).abs().max() < 0.02 * exact.abs().max()
