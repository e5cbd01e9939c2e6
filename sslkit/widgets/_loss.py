"""The loss lab: a contrastive loss on the circle, with its gradient as arrows."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from sslkit import losses, plots
from sslkit.widgets._glance import pairs_found
from sslkit.widgets._lab import Lab, alone


class LossLab(Lab):
    """NT-Xent of n pictures with two views each, as points on a circle that can be moved.

    Choose a picture and move its two views, change the temperature, and follow the arrows with "One step" of gradient
    descent. `lab.picture`, `view1` and `view2` (degrees from 0 to 360), `temperature` and `rate` can also be set from
    Python; `lab.angles` are all 2n angles, first views first. n is from 2 to 8.
    """

    NAME = "loss-lab"
    USE = "Choose a picture, move its two views, and see who pushes and who pulls; then take steps along the arrows."

    def __init__(self, n: int = 6, *, temperature: float = 0.5, rate: float = 1.0, seed: int = 0, theme: str = "auto"):
        super().__init__(theme=theme)
        if n not in range(2, 9):
            raise ValueError(f"LossLab: n is {n!r}, but must be a whole number of pictures from 2 to 8.")
        first, apart = torch.rand(2, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self._start = torch.cat([360 * first, 360 * first + 160 * apart - 80]).round() % 360  # (2n,)
        self.n, self._picture, self._temperature, self._rate = n, 1, 0.5, 1.0
        self.reset()
        self.temperature, self.rate = temperature, rate

    @property
    def picture(self) -> int:
        """The picture whose views are moved, 1 to n; its first view is the anchor whose answers are shown."""
        return self._picture

    @picture.setter
    def picture(self, value: int):
        if value not in range(1, self.n + 1):
            raise ValueError(f"LossLab: picture is {value!r}, but there are pictures 1 to {self.n}.")
        self._picture = value
        self.changed()

    @property
    def view1(self) -> float:
        """The angle of the first view of the chosen picture, in degrees."""
        return self.angles[self._picture - 1]

    @view1.setter
    def view1(self, degrees: float):
        self._move(self._picture - 1, degrees)

    @property
    def view2(self) -> float:
        """The angle of the second view of the chosen picture, in degrees."""
        return self.angles[self.n + self._picture - 1]

    @view2.setter
    def view2(self, degrees: float):
        self._move(self.n + self._picture - 1, degrees)

    @property
    def temperature(self) -> float:
        """The temperature of the loss, from 0.02 to 5."""
        return self._temperature

    @temperature.setter
    @alone
    def temperature(self, value: float):
        if not 0.02 <= value <= 5:
            raise ValueError(f"LossLab: temperature is {value}, but must be from 0.02 to 5.")
        self._temperature, self._history = value, []
        self.changed()

    @property
    def rate(self) -> float:
        """The learning rate of a step, from 0 to 10."""
        return self._rate

    @rate.setter
    def rate(self, value: float):
        if not 0 <= value <= 10:
            raise ValueError(f"LossLab: rate is {value}, but must be from 0 to 10.")
        self._rate = value
        self.changed()

    @property
    def angles(self) -> list[float]:
        """The angles of all 2n views in degrees, first views first."""
        return [round(a, 1) % 360 for a in torch.atan2(self._z[:, 1], self._z[:, 0]).rad2deg().tolist()]

    @alone
    def _move(self, point: int, degrees: float) -> None:
        if not 0 <= degrees <= 360:
            raise ValueError(f"LossLab: an angle is {degrees}, but must be from 0 to 360 degrees.")
        self._z = self._z.clone()
        self._z[point] = _on_circle(torch.tensor([float(degrees)]))[0]
        self._history = []
        self.changed()

    @alone
    def step(self) -> None:
        """One step of gradient descent: every view moves along its arrow, and back onto the circle."""
        self._history = [*self._history, self.loss]
        self._z = normalize(self._z + self._rate * self.arrows, dim=1)
        self.changed()

    @alone
    def reset(self) -> None:
        """All views back to where they were at first."""
        self._z, self._history = _on_circle(self._start), []
        self.changed()

    @property
    def loss(self) -> float:
        """The value of `losses.nt_xent` at the points."""
        return self._loss(self._z).item()

    @property
    def arrows(self) -> torch.Tensor:
        """Minus the gradient of the loss, by autograd: (2n, 2), along the circle."""
        z = self._z.clone().requires_grad_()
        return -torch.autograd.grad(self._loss(z), z)[0]

    @property
    def answers(self) -> torch.Tensor:
        """The probability that each of the 2n views is another's partner: (2n, 2n), 0 on the diagonal.

        Row i is what anchor i answers. A negative pushes with its probability, the partner pulls with 1 minus its own.
        """
        return (self._z @ self._z.T / self._temperature).fill_diagonal_(-torch.inf).softmax(1)

    @property
    def accuracy(self) -> float:
        """Positive-rank accuracy: for how many of the 2n anchors the partner is the most similar of all others."""
        return pairs_found(self._z[: self.n], self._z[self.n :])

    @property
    def references(self) -> dict[str, float]:
        """What the loss would be if collapsed, orthogonal, and at its bound (which a circle allows for n <= 3)."""
        return losses.nt_xent_references(self.n, temperature=self._temperature)

    @property
    def state(self) -> dict:
        """Settings, angles, loss, its references and the positive-rank accuracy."""
        settings = {name: getattr(self, name) for name in ("n", "picture", "temperature", "rate", "angles")}
        return settings | {"loss": self.loss, "accuracy": self.accuracy, "steps": len(self._history)} | self.references

    @property
    def summary(self) -> str:
        """The loss, and how many anchors find their partner."""
        found = round(2 * self.n * self.accuracy)
        return f"Loss {self.loss:.3f}; steps: {len(self._history)}; nearest to their partner: {found} of {2 * self.n} views."

    def plot(self):
        """Circle with arrows, cosines, the anchor's answers, and the loss with its references."""
        anchor = self._picture - 1
        return plots.loss_on_circle(
            self._z[: self.n], self._z[self.n :], self.arrows, self.answers[anchor], anchor=anchor,
            history=[*self._history, self.loss], references=self.references, theme=self.look,
        )  # fmt: skip

    def _loss(self, z):
        return losses.nt_xent(z[: self.n], z[self.n :], temperature=self._temperature)

    def _controls(self) -> dict:
        from ipywidgets import Button, Dropdown, Layout

        from sslkit.widgets._slider import Slider

        turn = {"min": 0.0, "max": 360.0, "step": 1.0, "unit": "°"}
        return {
            "picture": Dropdown(description="picture", options=list(range(1, self.n + 1))),
            "view1": Slider(description="first view", **turn),
            "view2": Slider(description="second view", **turn),
            "temperature": Slider(description="temperature", min=0.02, max=2.0, step=0.02),
            "rate": Slider(description="step size", min=0.0, max=5.0, step=0.1),
            "step": Button(description="One step"),
            "reset": Button(description="Back to the start", layout=Layout(width="auto")),
        }


def _on_circle(degrees):
    angles = degrees.double().deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)
