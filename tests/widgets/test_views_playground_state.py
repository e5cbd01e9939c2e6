"""The views playground without a browser: what it shows is what the package would make."""

from dataclasses import replace

import pytest
import torch

from sslkit import augment
from sslkit.augment import Policy
from sslkit.widgets import ViewsPlayground

IMAGES = torch.randint(0, 256, (6, 3, 16, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
NOTHING = Policy(scale=(1, 1), ratio=(1, 1), flip=0.0, jitter=0.0, gray=0.0)


@pytest.fixture
def lab():
    return ViewsPlayground(IMAGES)


def still(n=1):
    return replace(augment.draw(NOTHING, n, IMAGES.shape[1:], None), box=torch.tensor([[0, 0, 16, 12]] * n))


def test_at_first_the_view_is_the_picture(lab):
    torch.testing.assert_close(lab.view, IMAGES[0] / 255, atol=1e-3, rtol=0)  # YIQ and back is rounded
    rows, columns, colour, offset = augment.matrices(lab.params)
    assert torch.allclose(rows[0], torch.eye(16))
    assert torch.allclose(columns[0], torch.eye(12))
    assert torch.allclose(colour[0], torch.eye(3), atol=1e-3)
    assert offset.item() == 0


ONE = {
    "flip": True, "brightness": 0.5, "contrast": 0.3, "saturation": 0.2, "hue": 0.25, "gray": True, "blur": 1.5,
    "solarise": True,
}  # fmt: skip


@pytest.mark.parametrize("name", ONE)
def test_each_operation_is_the_packages(lab, name):
    setattr(lab, name, ONE[name])
    wanted = augment.apply(IMAGES[:1], replace(still(), **{name: torch.tensor([ONE[name]])}))[0]
    torch.testing.assert_close(lab.view, wanted, atol=2e-3, rtol=0)
    assert not torch.allclose(lab.view, IMAGES[0] / 255, atol=0.02)


def test_crop_noise_and_cutout_are_the_packages(lab):
    lab.top, lab.height, lab.left, lab.width = 3, 8, 2, 5
    boxed = augment.apply(IMAGES[:1], replace(still(), box=torch.tensor([[3, 2, 8, 5]])))[0]
    torch.testing.assert_close(lab.view, boxed, atol=1e-3, rtol=0)
    lab.reset()
    lab.cutout, lab.cutout_top, lab.cutout_left = 0.5, 0.0, 0.5
    assert (lab.view[:, :8, 6:] == augment.MID_GREY).all()
    torch.testing.assert_close(lab.view[:, :, :6], IMAGES[0, :, :, :6] / 255, atol=1e-3, rtol=0)
    lab.reset()
    lab.noise = 0.2
    assert torch.equal(lab.view, lab.view)  # its numbers stay while other sliders move
    assert 0.05 < (lab.view - IMAGES[0] / 255).std() < 0.2


def test_the_shown_matrices_make_the_view(lab):
    lab.top, lab.height, lab.flip, lab.blur, lab.hue, lab.contrast = 2, 9, True, 1.0, 0.1, 0.9
    rows, columns, colour, offset = (m[0] for m in augment.matrices(lab.params))
    x = rows @ (IMAGES[0] / 255) @ columns.T
    luma = torch.tensor([0.299, 0.587, 0.114]) @ x.mean((1, 2))
    by_hand = (torch.einsum("ij,jhw->ihw", colour, x) + offset * luma).clamp(0, 1)
    torch.testing.assert_close(lab.view, by_hand, atol=1e-5, rtol=0)
    drawn = [image.get_array() for ax in lab.plot().axes for image in ax.images]
    torch.testing.assert_close(torch.tensor(drawn[1]).float(), lab.view.movedim(0, 2), atol=1e-6, rtol=0)
    for shown, matrix in zip(drawn[2:], (rows, columns, colour)):
        torch.testing.assert_close(torch.tensor(shown).float(), matrix, atol=1e-6, rtol=0)


def test_the_box_stays_inside_whatever_is_moved(lab):
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        name = ("top", "left", "height", "width")[torch.randint(4, (1,), generator=generator)]
        low, high = getattr(ViewsPlayground, name).limits(lab)
        value = int(torch.randint(low, high + 1, (1,), generator=generator))
        setattr(lab, name, value)
        assert getattr(lab, name) == value
        assert lab.top + lab.height <= 16
        assert lab.left + lab.width <= 12
        assert lab.view.isfinite().all()


def test_one_draw_sets_every_control_to_what_the_policy_drew():
    policy = Policy(scale=(0.1, 0.4), blur=1.0, cutout=1.0, solarise=0.5)
    lab = ViewsPlayground(IMAGES, policy)
    for _ in range(8):
        lab.one_draw()
        drawn = augment.draw(policy, 1, IMAGES.shape[1:], torch.Generator().manual_seed(lab._seed))
        if abs(drawn.cutout[0, 0] / 16) <= 1:
            torch.testing.assert_close(lab.view, augment.apply(IMAGES[:1], drawn)[0], atol=2e-3, rtol=0)
    assert lab.state["showing"] == "one view"
    assert lab.state["cutout"] == 0.5


def test_many_draws_are_of_the_policy_with_its_strengths(lab):
    lab.many_draws()
    first = lab.plot()
    assert lab.state["showing"] == "random draws"
    assert "7 random views" in first.caption
    lab.jitter, lab.least_crop, lab.blurred = 2.0, 0.5, 1.0
    strong = lab.drawn_policy
    assert (strong.brightness, strong.hue, strong.scale, strong.blur) == (0.8, 0.2, (0.5, 1.0), 1.0)
    lab.hue = 0.1
    assert lab.state["showing"] == "one view"


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_grey_and_transparent_pictures_work(channels, theme):
    lab = ViewsPlayground(torch.rand(2, channels, 9, 9), theme=theme)
    lab.brightness, lab.noise, lab.cutout, lab.picture = 0.7, 0.1, 0.3, 2
    assert "9 of 9 rows" in lab.plot().caption
    lab.one_draw()
    lab.many_draws()
    assert "2 random" not in lab.plot().caption


def test_the_summary_names_what_was_changed(lab):
    assert lab.summary == "Rows 0 to 15 and columns 0 to 11 of picture 1; nothing else is changed."
    lab.hue, lab.top = 0.25, 4
    assert lab.summary == "Rows 4 to 15 and columns 0 to 11 of picture 1; hue 0.25."


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("hue", 0.7, "hue is 0.7, but must be from -0.5 to 0.5"),
        ("height", 17, "from 1 to 16"),
        ("top", -1, "from 0 to 15"),
        ("picture", 0, "pictures 1 to 6"),
        ("jitter", 3, "from 0 to 2"),
    ],
)
def test_what_is_not_possible_is_said(lab, name, value, says):
    before = lab.state
    with pytest.raises(ValueError, match=says):
        setattr(lab, name, value)
    assert lab.state == before


@pytest.mark.parametrize("images", [None, IMAGES[0], IMAGES[:0], torch.zeros(2, 5, 8, 8)])
def test_pictures_are_checked(images):
    with pytest.raises(ValueError, match=r"must be \(N, C, H, W\)"):
        ViewsPlayground(images)
