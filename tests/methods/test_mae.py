"""Masked autoencoding: what the encoder sees, what the loss looks at, and that everything is put back in its place."""

import pytest
import torch
from torch import nn

from sslkit import augment, nets, recipes, seeds
from sslkit.methods import MAE, Batch
from sslkit.nets.vit import patches, pick, unpatch


def build(**options):
    torch.manual_seed(0)
    return MAE(nets.tiny_vit(dim=32, depth=2), decoder=(16, 1), **options)


def collect(method, n=6, side=16, step=0):
    images = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=seeds.generator(0))
    return method.collect(images, torch.arange(n), None, seeds.generator("step", step))


def with_patches(x, where, value):
    """The images with some patches replaced. x (B, C, H, W), where (B, P) bool."""
    return unpatch(torch.where(where[:, :, None], value, patches(x, 4)), *x.shape[2:])


def test_the_encoder_never_sees_a_hidden_patch():
    method = build()
    batch = collect(method)
    x, seen = batch.views[0], []
    method.encoder.body.embed.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    prediction, mask = method.guess(x, batch.noise)
    assert seen[0].shape == (6, 4, 48)  # 4 of 16 patches
    for value in (0.0, torch.nan):
        changed, same = method.guess(with_patches(x, mask, value), batch.noise)
        assert torch.equal(changed, prediction)
        assert torch.equal(same, mask)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(method.guess(with_patches(x, ~mask, 0.0), batch.noise)[0], prediction)


def test_the_encoder_sees_normalised_pixels():
    method = build()
    batch = collect(method)
    x = batch.views[0]
    expected = method.guess(x, batch.noise)[0]
    seen = method.encoder.normalise(x)
    method.encoder.mean.zero_()
    method.encoder.std.fill_(1.0)
    torch.testing.assert_close(method.guess(seen, batch.noise)[0], expected)


def test_the_loss_is_on_hidden_patches_only():
    method = build()
    batch = collect(method)
    prediction, mask = method.guess(batch.views[0], batch.noise)
    hidden = patches(batch.views[0], 4)[mask].reshape(6, 12, 48)
    target = (hidden - hidden.mean(2, keepdim=True)) / (hidden.var(2, keepdim=True) + 1e-6).sqrt()
    expected = (prediction[mask].reshape(6, 12, 48) - target).square().mean()
    torch.testing.assert_close(method(batch)["loss"], expected)


@pytest.mark.parametrize(
    ("ratio", "side", "visible"), [(0.75, 16, 4), (0.5, 16, 8), (0.9, 16, 1), (0.75, 8, 1), (0.1, 8, 3), (0.95, 8, 1)]
)
def test_every_image_hides_the_same_number_of_patches_and_others(ratio, side, visible):
    method = build(mask_ratio=ratio)
    batch = collect(method, 32, side)
    mask = method.guess(batch.views[0], batch.noise)[1]
    assert ((~mask).sum(1) == visible).all()
    assert len(mask.unique(dim=0)) > 1
    assert torch.equal(mask, method.guess(batch.views[0], batch.noise)[1])
    assert not torch.equal(mask, method.guess(batch.views[0], collect(method, 32, side, step=1).noise)[1])


def test_visible_patches_return_to_where_they_were():
    method, batch = build(), collect(build())
    x = batch.views[0]
    method.encoder.body.tokens = lambda x, keep: pick(patches(x, 4), keep)  # tokens that are the pixels themselves
    method.encoder.normalise = lambda x: x

    class Place(nn.Module):
        def forward(self, tokens, place, grid):
            assert grid == (4, 4)
            return pick(torch.cat((tokens, tokens.new_zeros(6, 12, 48)), dim=1), place)

    method.decoder = Place()
    placed, mask = method.guess(x, batch.noise)
    assert torch.equal(placed, torch.where(mask[:, :, None], 0, patches(x, 4)))


def test_h_is_the_mean_token_of_all_patches():
    method = build().eval()
    x = torch.rand(3, 3, 16, 16)
    tokens = method.encoder.body.tokens(method.encoder.normalise(x))
    assert tokens.shape == (3, 16, 32)
    assert torch.equal(method.encoder(x), tokens.mean(1))


def test_reconstruct_shows_what_was_seen_and_what_was_guessed():
    method, images = build(), torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    seen, guess = method.reconstruct(images, seeds.generator(3))
    again = method.reconstruct(augment.to_float(images), seeds.generator(3))
    assert torch.equal(seen, again[0])
    assert torch.equal(guess, again[1])
    true, hidden = patches(augment.to_float(images), 4), (patches(seen, 4) == 0.5).all(2)
    assert (hidden.sum(1) == 12).all()
    assert torch.equal(patches(guess, 4)[~hidden], true[~hidden])
    assert torch.equal(patches(seen, 4)[~hidden], true[~hidden])
    assert not torch.equal(patches(guess, 4)[hidden], true[hidden])
    assert guess.amin() >= 0
    assert guess.amax() <= 1


def test_the_learning_rate_is_the_methods_own():
    assert {group["lr"] for group in build(lr_scale=0.5).param_groups(0.5)} == {0.5}
    assert build(lr_scale=0.5).spec["lr_scale"] == 0.5


def test_a_perfect_guess_is_shown_as_the_picture():
    method, x = build(), torch.rand(5, 3, 16, 16)
    true = patches(x, 4)
    perfect = (true - true.mean(2, keepdim=True)) / true.std(2, keepdim=True)
    guess = method.guess
    method.guess = lambda x, noise: (perfect, guess(x, noise)[1])
    torch.testing.assert_close(method.reconstruct(x)[1], x)


def test_what_cannot_be_masked_is_one_sentence():
    with pytest.raises(ValueError, match=r"must be a vision transformer: give encoder=nets\.tiny_vit\(\)"):
        MAE(nets.small_resnet())
    for ratio in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match=f"mask_ratio is {ratio}; it is the share of hidden patches"):
            build(mask_ratio=ratio)
    with pytest.raises(ValueError, match="Images of 4x4 have 1 patches; MAE needs some to see and some to hide"):
        collect(build(), side=4)
    with pytest.raises(ValueError, match="Images of 18x18 cannot be cut into patches of 4x4"):
        build()(Batch([torch.rand(2, 3, 18, 18)], torch.arange(2), noise=torch.rand(2, 16)))


def test_simclr_learns_on_the_same_transformer(tiny_shapes):
    torch.manual_seed(0)
    method = recipes.method("simclr", tiny_shapes, encoder=nets.tiny_vit(dim=32, depth=2), head=(32, 16))
    index = torch.arange(64)
    batch = method.collect(tiny_shapes.images[index], index, None, seeds.generator(0))
    optimiser, losses = torch.optim.AdamW(method.parameters(), 3e-3), []
    for _ in range(25):
        loss = method(batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.95 * losses[0]
    assert recipes.build(method.spec, method.encoder.spec).encoder.spec == method.encoder.spec
