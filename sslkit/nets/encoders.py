"""Encoders: pixels in [0, 1] to a representation h. They carry their own mean and standard deviation."""

from __future__ import annotations

import copy
import json

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslkit.errors import unknown
from sslkit.nets.norms import Fitted, Whitening, make_norm
from sslkit.nets.patches import PatchDictionary, dictionary, field_means
from sslkit.nets.vit import VisionTransformer, check_width


class Encoder(nn.Module):
    """A network with the two things every encoder of the kit has: `.dim` and its own pixel statistics.

    Input: float images (B, C, H, W) in [0, 1]. Output: representations h (B, dim). `mean` and `std` are buffers, so they
    are saved and exported with the weights, and nobody can forget to normalise.
    `spec` is a dictionary of plain values from which `build` makes the same network again (None: only its owner can).
    patches: begin with filters that are made from the pictures, see `dictionary`, if body[0] is a convolution.
    beside: a layer (B, C, H, W) -> (B, beside.dim) whose features follow those of the body. whiten: end in a `Whitening`.
    Both are fitted by `finish`, when the network is trained, and do nothing until then.
    mirror: in eval mode h is the mean over the picture and its mirror image. It takes twice as long,
    and right and left are alike from then on.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        dim: int,
        in_channels: int,
        spec: dict | None = None,
        patches: bool = False,
        beside: PatchDictionary | None = None,
        whiten: bool = False,
        mirror: bool = False,
    ):
        super().__init__()
        self.body, self.in_channels, self.spec, self.mirror = body, in_channels, spec, mirror
        self.dim = dim + (0 if beside is None else beside.dim)
        self.beside, self.whitening = beside, Whitening(self.dim) if whiten else None
        self.register_buffer("first_filters", body[0].weight.detach().clone() if patches else None)
        self.register_buffer("mean", torch.full((in_channels, 1, 1), 0.5))
        self.register_buffer("std", torch.full((in_channels, 1, 1), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        x = self.normalise(x)
        h = self._represent(x)
        if self.mirror and not self.training:
            h = (h + self._represent(x.flip(3))) / 2
        return h if self.whitening is None else self.whitening(h)

    def _represent(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return h if self.beside is None else torch.cat([h, self.beside(x)], 1)  # (B, dim)

    def normalise(self, x: Tensor) -> Tensor:
        """Pixels as the body sees them, about zero with deviation one. (B, C, H, W) -> (B, C, H, W)."""
        self._check(x)
        return (x - self.mean) / self.std

    def _check(self, x: Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"This encoder takes images of shape (B, {self.in_channels}, H, W) and got {tuple(x.shape)}. "
                "Give it such pictures, or build it with in_channels= the channels of your views (RGBA becomes 3)."
            )

    @property
    def knows_pixels(self) -> bool:
        """Whether `set_statistics` has been called, or statistics were given in another way."""
        return bool((self.mean != 0.5).any() or (self.std != 0.25).any())

    def to_train(self) -> Encoder:
        """A copy in which what `finish` fitted does nothing again."""
        mine = copy.deepcopy(self)
        for layer in mine.modules():
            if isinstance(layer, Fitted):
                layer.set_fitted(False)
        return mine

    def set_statistics(self, x: Tensor) -> Encoder:
        """Take mean and standard deviation per channel, and first filters if they are made from patches, from images in
        [0, 1], (N, C, H, W). To be called before training. Returns itself."""
        self._check(x)
        self.mean.copy_(x.mean(dim=(0, 2, 3)).reshape(-1, 1, 1))
        self.std.copy_(x.std(dim=(0, 2, 3)).clamp_min(1e-3).reshape(-1, 1, 1))
        if self.first_filters is not None:
            n, _, size, _ = self.first_filters.shape
            self._begin_with(dictionary(self.normalise(x), n, size))
        return self

    def begin_like(self, other: Encoder) -> Encoder:
        """Take what another encoder of this kind knew of its pictures before its first step. Returns itself."""
        self.mean.copy_(other.mean)
        self.std.copy_(other.std)
        if other.first_filters is not None:
            self._begin_with(other.first_filters)
        return self

    @torch.no_grad()
    def _begin_with(self, filters: Tensor) -> None:
        self.first_filters.copy_(filters)
        self.body[0].weight.copy_(filters)

    @torch.no_grad()
    def finish(self, x: Tensor, *, batch_size: int = 256) -> Encoder:
        """Fit what is fitted to a trained network, if it has such layers, on images in [0, 1], (N, C, H, W): `beside`, then
        `whitening`. To be called in eval mode.

        Some thousand images, so that there are a few for each dimension. Returns itself.
        """
        x = x.to(self.mean.device)
        if self.beside is not None:
            self.beside.fit(self.normalise(x))
        if self.whitening is not None:
            self.whitening.set_fitted(False)
            self.whitening.fit(torch.cat([self(part) for part in x.split(batch_size)]))
        return self


class Strided(nn.Conv2d):
    """A convolution that does not stride along a side of one pixel, where there is nothing to skip: the same numbers.

    PyTorch 2.14 leaves a part of that gradient unwritten in bfloat16 on CPUs that have it in hardware.
    """

    def forward(self, x: Tensor) -> Tensor:
        stride = tuple(1 if side == 1 else stride for side, stride in zip(x.shape[2:], self.stride))
        return F.conv2d(x, self.weight, self.bias, stride, self.padding, self.dilation, self.groups)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, the basic block of ResNet (arXiv 1512.03385, figure 2)."""

    def __init__(self, inside: int, out: int, *, stride: int, norm: str):
        super().__init__()
        self.conv1 = Strided(inside, out, 3, stride, 1, bias=False)
        self.norm1 = make_norm(norm, out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = make_norm(norm, out)
        self.shortcut = nn.Identity()
        if stride != 1 or inside != out:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), make_norm(norm, out))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Stages(nn.Sequential):
    """A residual network that tells the mean activations of its last block, or, side by side, of all its blocks.

    Early blocks know colours and textures, late ones what the loss asks for; a linear map may read both. Means are taken
    over the whole picture, or over the fields of a grid: in quadrants (2) a representation also tells roughly where.
    (B, C, H, W) -> (B, grid² * width), or (B, grid² * sum of widths). The weights have the same names in all cases.
    """

    def __init__(self, *parts: nn.Module, all_stages: bool, grid: int):
        super().__init__(*parts)
        self.all_stages, self.grid = all_stages, grid

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for part in self:
            x = part(x)
            if isinstance(part, Block):
                maps.append(x)
        chosen = maps if self.all_stages else maps[-1:]
        return torch.cat([field_means(x, self.grid) for x in chosen], 1)


def small_resnet(
    in_channels: int = 3,
    *,
    widths: tuple[int, ...] = (32, 64, 128),
    norm: str = "batch",
    all_stages: bool = False,
    grid: int = 1,
    patches: bool = False,
    dictionary: int = 0,
    whiten: bool = False,
    mirror: bool = False,
) -> Encoder:
    """A residual network for two CPU cores and pictures of about 32x32.

    The stem halves the picture at once (4x4 convolution, stride 2), because most of the work of a residual network is done
    at full resolution; every later stage halves it again and widens.
    all_stages, grid: what h holds, see `Stages`. By default the last stage's means over the picture, and `dim` is the last
    width. patches: the stem begins with filters made from patches of the pictures, instead of random ones.
    dictionary: how many patches of a `PatchDictionary` stand beside it in h. whiten, mirror: see `Encoder`.
    """
    stem = [nn.Conv2d(in_channels, widths[0], 4, 2, 1, bias=False), make_norm(norm, widths[0]), nn.ReLU()]
    pairs = zip((widths[0], *widths), widths)
    stages = [Block(a, b, stride=1 if i == 0 else 2, norm=norm) for i, (a, b) in enumerate(pairs)]
    dim = grid**2 * (sum(widths) if all_stages else widths[-1])
    spec = {"name": "small_resnet", "in_channels": in_channels, "widths": list(widths), "norm": norm}
    ends = {"patches": patches, "whiten": whiten, "mirror": mirror}
    spec |= {"all_stages": all_stages, "grid": grid, "dictionary": dictionary, **ends}
    body = Stages(*stem, *stages, all_stages=all_stages, grid=grid)
    beside = PatchDictionary(in_channels, dictionary, grid=grid) if dictionary else None
    return Encoder(body, dim=dim, in_channels=in_channels, spec=spec, beside=beside, **ends)


def resnet18(in_channels: int = 3, *, norm: str = "batch") -> Encoder:
    """ResNet-18 with the CIFAR stem of SimCLR: a 3x3 convolution of stride 1 and no max-pooling (arXiv 2002.05709, B.9).

    It stays at full resolution for a quarter of its blocks: about 20 times the work of `small_resnet`. Meant for GPUs.
    """
    from torchvision.models import resnet18 as torchvision_resnet18

    def norm_layer(channels: int) -> nn.Module:
        return make_norm(norm, channels)

    body = torchvision_resnet18(weights=None, norm_layer=norm_layer)
    body.conv1 = nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False)
    body.maxpool, body.fc = nn.Identity(), nn.Identity()
    spec = {"name": "resnet18", "in_channels": in_channels, "norm": norm}
    return Encoder(body, dim=512, in_channels=in_channels, spec=spec)


def tiny_vit(in_channels: int = 3, *, patch: int = 4, dim: int = 128, depth: int = 4, heads: int = 4) -> Encoder:
    """A vision transformer (arXiv 2010.11929) for pictures of about 32x32, with fixed sine and cosine positions.

    h is the mean over the patches' tokens: there is no class token. Height and width may differ and may change from call
    to call, as long as both are multiples of `patch`. Raises ValueError for images that are not, and for a `dim` that is
    not a multiple of `heads` and of 4.
    """
    check_width("dim", dim, heads)
    spec = {"name": "tiny_vit", "in_channels": in_channels, "patch": patch, "dim": dim, "depth": depth, "heads": heads}
    body = VisionTransformer(in_channels, patch, dim, depth, heads)
    return Encoder(body, dim=dim, in_channels=in_channels, spec=spec)


def adapt(model: nn.Module | str, *, in_channels: int = 3, image_size: int = 32, **options) -> Encoder:
    """Make an encoder of any network that maps (B, C, H, W) to (B, dim): your own module, or a name.

    `"torchvision/resnet34"` and `"timm/convnext_atto"` are built without weights and without their last, classifying
    layer; `options` go to the library's own constructor. `dim` is read from one forward pass on a blank picture.
    Raises ValueError for networks that return something else, in training or in eval mode, or end in no linear layer.
    """
    spec = None
    if isinstance(model, str):
        spec = {"name": "adapt", "model": model, "in_channels": in_channels, "image_size": image_size, **options}
        try:
            json.dumps(spec)
        except TypeError:  # a layer or a function is known to your code only
            spec = None
        model = _from_library(model, in_channels, options)
        for layer in model.modules():
            if type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and max(layer.stride) > 1:
                layer.__class__ = Strided  # the same layer, with the guard
    where = next(model.parameters(), torch.empty(0)).device
    trial = copy.deepcopy(model)  # batch norms move when they are looked at in training
    for training in (True, False):
        with torch.no_grad():
            h = trial.train(training)(torch.zeros(2, in_channels, image_size, image_size, device=where))
        if not isinstance(h, Tensor) or h.ndim != 2:
            got = tuple(h.shape) if isinstance(h, Tensor) else f"a {type(h).__name__}"
            mode = "train" if training else "eval"
            raise ValueError(
                f"The model must return (B, dim) and returned {got} in {mode} mode. Pool and flatten its last feature map "
                "first, and leave out what it returns beside that."
            )
    return Encoder(model, dim=h.shape[1], in_channels=in_channels, spec=spec).to(where)


def _from_library(name: str, in_channels: int, options: dict) -> nn.Module:
    library, _, model = name.partition("/")
    if library == "timm":
        import timm

        return timm.create_model(model, pretrained=False, num_classes=0, in_chans=in_channels, **options)
    if library == "torchvision":
        from torchvision.models import get_model

        body = get_model(model, weights=None, **options)
        _drop_classifier(body)
        if in_channels != 3:
            _replace_first_convolution(body, in_channels)
        return body
    raise unknown("model library", library, ["timm", "torchvision"])


def _drop_classifier(body: nn.Module) -> None:
    """torchvision's networks end in a linear layer named fc, head, heads or classifier: replace the last one by nothing."""
    if not (layers := [name for name, layer in body.named_modules() if isinstance(layer, nn.Linear)]):
        raise ValueError(
            f"This {type(body).__name__} ends in no linear layer: cut it off yourself and adapt the module."
        )
    path = layers[-1]
    parent, _, leaf = path.rpartition(".")
    setattr(body.get_submodule(parent), leaf, nn.Identity())


def _replace_first_convolution(body: nn.Module, in_channels: int) -> None:
    path, conv = next((n, m) for n, m in body.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        bias=conv.bias is not None,
    )
    parent, _, leaf = path.rpartition(".")
    setattr(body.get_submodule(parent), leaf, new)


ENCODERS = {"small_resnet": small_resnet, "resnet18": resnet18, "tiny_vit": tiny_vit, "adapt": adapt}


def build(spec: dict) -> Encoder:
    """The network that an encoder's `spec` describes, freshly initialised."""
    options = dict(spec)
    name = options.pop("name")
    if name not in ENCODERS:
        raise unknown("encoder", name, ENCODERS)
    if name == "adapt":
        return adapt(options.pop("model"), **options)
    return ENCODERS[name](**options)
