"""The views playground: one picture, one view of it made by hand, and the matrices that made it."""

from __future__ import annotations

from dataclasses import replace

import torch

from sslkit import augment, plots
from sslkit.augment import Policy
from sslkit.widgets._lab import Lab, alone

GROUPS = {
    "crop": "Rows and columns", "colour": "Colour", "after": "Then", "policy": "What is drawn at random"
}  # fmt: skip


class _Setting:
    """A number that a slider sets, from low to high, or a switch (high is True). Reading it from the class gives this."""

    def __init__(self, neutral, low=0, high=True, step=None, *, group: str = "after"):
        self.neutral, self.low, self.high, self.step, self.group = neutral, low, high, step, group

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, lab, owner=None):
        return self if lab is None else lab._set[self.name]

    def __set__(self, lab, value):
        low, high = self.limits(lab)
        if not low <= value <= high:
            raise ValueError(f"ViewsPlayground: {self.name} is {value!r}, but must be from {low} to {high}.")
        with lab._lock:
            lab._set |= self.sets(lab, value)
            lab._many = self.group == "policy"
            lab.changed()

    def sets(self, lab, value) -> dict:
        return {self.name: bool(value) if self.high is True else value}

    def limits(self, lab):
        return self.low, self.high


class _Edge(_Setting):
    """A number of the crop's box in whole pixels. Its partner gives way, so that the box stays inside of the picture."""

    def __init__(self, axis: int, partner: str, least: int):
        super().__init__(0, least, step=1, group="crop")
        self.high, self.axis, self.partner = None, axis, partner

    def sets(self, lab, value) -> dict:
        room = lab.images.shape[self.axis] - int(value)
        return {self.name: int(value), self.partner: min(lab._set[self.partner], room)}

    def limits(self, lab):
        return self.low, lab.images.shape[self.axis] - 1 + self.low


class ViewsPlayground(Lab):
    """One picture and a view of it, each operation set by hand, with its matrices; or many random draws of a policy.

    images: (N, C, H, W) uint8, or float from 0 to 1. policy: an `augment.Policy`, SimCLR's by default. Every control is
    an attribute (`lab.hue = 0.25`, `lab.flip = True`), and `lab.params` is what `augment.apply` gets.
    """

    NAME = "views-playground"
    USE = "Move a slider and see what it does to the picture and to the matrices, or press a button to draw at random."

    top, left = _Edge(2, "height", 0), _Edge(3, "width", 0)  # of the crop, in pixels
    height, width = _Edge(2, "top", 1), _Edge(3, "left", 1)
    flip = _Setting(False, group="crop")
    blur = _Setting(0.0, 0, 4, 0.1, group="crop")  # standard deviation in pixels
    brightness = _Setting(1.0, 0, 2, 0.05, group="colour")
    contrast = _Setting(1.0, 0, 2, 0.05, group="colour")
    saturation = _Setting(1.0, 0, 2, 0.05, group="colour")
    hue = _Setting(0.0, -0.5, 0.5, 0.01, group="colour")  # 1 is the whole circle of colours
    gray = _Setting(False, group="colour")
    solarise = _Setting(False)
    noise = _Setting(0.0, 0, 0.5, 0.01)  # standard deviation
    cutout = _Setting(0.0, 0, 1, 0.05)  # shares of the side
    cutout_top = _Setting(0.25, -0.5, 1, 0.05)
    cutout_left = _Setting(0.25, -0.5, 1, 0.05)
    least_crop = _Setting(0.2, 0.05, 1, 0.05, group="policy")  # area of the smallest crop that is drawn
    jitter = _Setting(1.0, 0, 2, 0.1, group="policy")  # times the policy's strengths of colour
    blurred = _Setting(0.0, 0, 1, 0.1, group="policy")  # probability

    def __init__(self, images, policy: Policy | None = None, *, theme: str = "auto"):
        super().__init__(theme=theme)
        shape = tuple(getattr(images, "shape", ()))
        if len(shape) != 4 or not len(images) or shape[1] not in (1, 3, 4):
            raise ValueError(f"ViewsPlayground: images have shape {shape}, but must be (N, C, H, W) with C 1, 3 or 4.")
        self.images, self.policy = images, policy or Policy()
        self._set = {"picture": 1, "least_crop": self.policy.scale[0], "jitter": 1.0, "blurred": self.policy.blur}
        self._seed = 0
        self.reset()

    @property
    def picture(self) -> int:
        """The number of the picture that is shown, from 1."""
        return self._set["picture"]

    @picture.setter
    def picture(self, value: int):
        if value not in range(1, len(self.images) + 1):
            raise ValueError(f"ViewsPlayground: picture is {value!r}, but there are pictures 1 to {len(self.images)}.")
        self._set["picture"] = int(value)
        self.changed()

    @alone
    def reset(self) -> None:
        """The whole picture again, with nothing done to it."""
        _, _, H, W = self.images.shape
        self._set |= {name: setting.neutral for name, setting in _settings("colour", "crop", "after").items()}
        self._set |= {"height": H, "width": W}
        self._many = False
        self.changed()

    @alone
    def one_draw(self) -> None:
        """Set all controls to one random draw of the policy. (Noise shows its strength, with numbers of its own.)"""
        self._seed += 1
        self.reset()
        _, C, H, W = self.images.shape
        drawn = augment.draw(replace(self.drawn_policy, size=None), 1, (C, H, W), self._generator())
        self._set |= dict(zip(("top", "left", "height", "width"), drawn.box[0].tolist()))
        for name in ("flip", "blur", "brightness", "contrast", "saturation", "hue", "gray", "solarise"):
            if (value := getattr(drawn, name)) is not None:
                self._set[name] = value[0].item()
        if drawn.cutout is not None and drawn.cutout[0, 2] > 0:
            top, left, side, _ = drawn.cutout[0].tolist()
            self._set |= {"cutout": side / H, "cutout_top": top / H, "cutout_left": left / W}
        self._set["noise"] = self.policy.noise
        self.changed()

    @alone
    def many_draws(self) -> None:
        """Show random views of five pictures, drawn anew from the policy each time."""
        self._seed, self._many = self._seed + 1, True
        self.changed()

    @property
    def drawn_policy(self) -> Policy:
        """The policy that is drawn from: the one given, with the strengths that were set."""
        p, s = self.policy, self._set
        strengths = {name: s["jitter"] * getattr(p, name) for name in ("brightness", "contrast", "saturation")}
        strengths |= {"hue": min(0.5, s["jitter"] * p.hue), "blur": s["blurred"]}
        return replace(p, scale=(s["least_crop"], max(s["least_crop"], p.scale[1])), **strengths)

    @property
    def params(self) -> augment.Params:
        """The numbers of the view that is set by hand, for `augment.apply`."""
        s, (_, C, H, W) = self._set, self.images.shape
        cut = [s["cutout_top"] * H, s["cutout_left"] * W, s["cutout"] * H, s["cutout"] * W]
        noise = torch.randn(1, min(C, 3), H, W, generator=torch.Generator().manual_seed(0))
        return augment.Params(
            shape=(C, H, W),
            size=(H, W),
            box=torch.tensor([[s[name] for name in ("top", "left", "height", "width")]]),
            **{name: torch.tensor([s[name]]) for name in ("flip", "blur", "solarise", *_settings("colour"))},
            noise=s["noise"] * noise if s["noise"] else None,
            cutout=torch.tensor([[round(x) for x in cut]]) if s["cutout"] else None,
            ground=torch.full((1, 3), augment.MID_GREY) if C == 4 else None,
        )

    @property
    def view(self) -> torch.Tensor:
        """The view that is set by hand: (C, H, W) float from 0 to 1."""
        return augment.apply(self.images[self.picture - 1 : self.picture], self.params)[0]

    @property
    def state(self) -> dict:
        """Every setting, and whether "one view" or "random draws" are shown."""
        return self._set | {"showing": "random draws" if self._many else "one view"}

    @property
    def summary(self) -> str:
        """What was changed, in words."""
        if self._many:
            return f"Random draws of the policy, number {self._seed}."
        top, left, height, width = (self._set[name] for name in ("top", "left", "height", "width"))
        others = {name: one for name, one in _settings("colour", "crop", "after").items() if not isinstance(one, _Edge)}
        changed = [f"{_words(n)} {self._set[n]:.3g}" for n, one in others.items() if self._set[n] != one.neutral]
        crop = f"Rows {top} to {top + height - 1} and columns {left} to {left + width - 1} of picture {self.picture}"
        return f"{crop}; {', '.join(changed) or 'nothing else is changed'}."

    def plot(self):
        """The picture, its view and the matrices; or, after `many_draws()`, a grid of random views."""
        if self._many:
            few = self.images[self.picture - 1 :][:5]
            return plots.views_grid(
                few, augment.views(few, [self.drawn_policy] * 7, self._generator()), theme=self.look
            )
        rows, columns, colour, _ = augment.matrices(self.params)
        image = augment.to_float(self.images[self.picture - 1])
        return plots.view_by_hand(image, self.view, rows[0], columns[0], colour[0], theme=self.look)

    def _generator(self):
        return torch.Generator().manual_seed(self._seed)

    def _controls(self) -> dict:
        from ipywidgets import Button, Checkbox, Layout

        from sslkit.widgets._slider import Slider

        made = {"picture": Slider(description="picture", min=1.0, max=float(len(self.images)), step=1.0)}
        for name, one in _settings(*GROUPS).items():
            if one.step is None:
                made[name] = Checkbox(
                    description=name, indent=False, layout=Layout(width="100px", margin="2px 2px 2px 40px")
                )
            else:
                low, high = map(float, one.limits(self))
                made[name] = Slider(description=_words(name), min=low, max=high, step=float(one.step))
        buttons = {"reset": "Nothing changed", "one_draw": "One random draw", "many_draws": "Many random draws"}
        return made | {name: Button(description=text, layout=Layout(width="auto")) for name, text in buttons.items()}

    def _arrange(self) -> list:
        from ipywidgets import HTML, HBox, Layout

        c, wrap = self.controls, Layout(flex_flow="row wrap", overflow="visible")
        rows = [HBox([c[name] for name in ("picture", "reset", "one_draw", "many_draws")], layout=wrap)]
        for group, title in GROUPS.items():
            rows += [HTML(f"<b>{title}</b>"), HBox([c[name] for name in _settings(group)], layout=wrap)]
        return rows


def _settings(*groups: str) -> dict[str, _Setting]:
    every = {name: one for name, one in vars(ViewsPlayground).items() if isinstance(one, _Setting)}
    return {name: one for group in groups for name, one in every.items() if one.group == group}


def _words(name: str) -> str:
    return name.replace("_", " ")
