"""The loss lab without a browser: its numbers are those of the loss, its arrows lead downhill."""

import math

import pytest
import torch

from sslkit import losses
from sslkit.widgets import LossLab


def points(lab):
    angles = torch.tensor(lab.angles, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


@pytest.mark.parametrize(("n", "temperature"), [(2, 0.5), (4, 0.1), (8, 1.0)])
def test_arrows_equal_the_gradient_by_hand_and_by_small_steps(n, temperature):
    lab = LossLab(n, temperature=temperature, seed=n)
    z = points(lab)
    partner = z.roll(n, 0)
    P = (z @ z.T / temperature).fill_diagonal_(-torch.inf).softmax(1)
    G = ((P + P.T) @ z - 2 * partner) / (2 * n * temperature)
    by_hand = G - (G * z).sum(1, keepdim=True) * z
    torch.testing.assert_close(lab.arrows, -by_hand, rtol=0, atol=1e-10)
    torch.testing.assert_close(lab.answers, P)

    tangent = torch.stack([-z[:, 1], z[:, 0]], 1)
    angles, small = torch.tensor(lab.angles, dtype=torch.float64).deg2rad(), 1e-6
    for i in (0, n):  # the loss falls along the arrow as fast as the arrow is long
        ends = []
        for sign in (1, -1):
            a = angles.clone()
            a[i] += sign * small
            moved = torch.stack([a.cos(), a.sin()], 1)
            ends.append(losses.nt_xent(moved[:n], moved[n:], temperature=temperature).item())
        assert (lab.arrows[i] @ tangent[i]).item() == pytest.approx(-(ends[0] - ends[1]) / (2 * small), abs=1e-6)


def test_value_references_and_accuracy_are_those_of_the_package():
    lab = LossLab(5, temperature=0.2)
    z = points(lab)
    assert lab.loss == pytest.approx(losses.nt_xent(z[:5], z[5:], temperature=0.2).item())
    assert lab.state["collapsed"] == pytest.approx(math.log(9))
    assert lab.references == losses.nt_xent_references(5, temperature=0.2)
    cosines = (z @ z.T).fill_diagonal_(-2)
    nearest = cosines.argmax(1)
    assert lab.accuracy == sum(int(nearest[i]) == (i + 5) % 10 for i in range(10)) / 10
    pushes = lab.answers[0]
    assert pushes.sum().item() == pytest.approx(1)
    assert pushes[0] == 0


def test_equal_views_of_all_pictures_have_the_collapsed_loss():
    lab = LossLab(3)
    for picture in (1, 2, 3):
        lab.picture = picture
        lab.view1 = lab.view2 = 77
    assert lab.loss == pytest.approx(math.log(5))
    assert lab.arrows.abs().max() < 1e-9  # nobody wants to go anywhere: a collapse keeps itself


def test_moving_a_view_moves_it_alone():
    lab = LossLab(4)
    before = lab.angles
    lab.picture = 2
    lab.view1, lab.view2 = 10, 350
    after = lab.angles
    assert (after[1], after[5]) == (10, 350)
    assert (lab.view1, lab.view2) == (10, 350)
    assert [a for i, a in enumerate(after) if i not in (1, 5)] == [a for i, a in enumerate(before) if i not in (1, 5)]


def test_steps_go_down_and_reset_goes_back():
    lab = LossLab(6, rate=0.5)
    start, values = lab.angles, [lab.loss]
    for _ in range(20):
        lab.step()
        values.append(lab.loss)
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0] - 0.2
    assert lab.state["steps"] == 20
    assert "steps: 20;" in lab.summary
    lab.reset()
    assert lab.angles == start
    assert lab.state["steps"] == 0


def test_a_colder_temperature_gives_the_hardest_negative_a_larger_share():
    lab, shares = LossLab(6), []
    for temperature in (5, 0.5, 0.1, 0.05):
        lab.temperature = temperature
        answers = lab.answers[0].clone()
        answers[6] = 0  # the partner
        shares.append((answers.max() / answers.sum()).item())
    assert shares == sorted(shares)


def test_the_figure_says_what_it_shows():
    lab = LossLab(4, temperature=0.3)
    lab.picture = 2
    figure = lab.plot()
    assert f"Loss {lab.loss:.3f}" in figure.caption
    assert "anchor 2a" in figure.caption
    heights = [bar.get_height() for bar in figure.axes[2].patches]
    assert heights == pytest.approx([p for i, p in enumerate(lab.answers[1].tolist()) if i != 1])


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [
        ("picture", 7, "pictures 1 to 6"),
        ("view1", 400, "0 to 360"),
        ("temperature", 0, "0.02 to 5"),
        ("rate", -1, "0 to 10"),
    ],
)
def test_what_is_not_possible_is_said_and_nothing_changes(attribute, value, says):
    lab = LossLab()
    before = lab.state
    with pytest.raises(ValueError, match=says):
        setattr(lab, attribute, value)
    assert lab.state == before


def test_the_number_of_pictures_is_checked():
    with pytest.raises(ValueError, match=r"n is 1, .* from 2 to 8"):
        LossLab(1)
