"""The founding article's SimCLR, as the article writes it (docs/article.md), and its fusion for learning with labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from sslkit import losses, nets
from sslkit.augment import Policy
from sslkit.distributed import gather
from sslkit.methods.base import Batch, Method, encode


class ArticleSimCLR(Method):
    """Pull the views of each image together and keep the weights small. Nothing pushes apart, and it collapses.

    Every view i has a feature network f_i and a projection matrix W_i of its own (shared=True: one for all views), and
    h_i = W_i f_i(x): the article's h is the projected vector. A similarity network g compares the k views. The objective is

        (lambda_ * contrast + omega * Ω) / (2 * n_images)

    with `distance_contrast` averaged over the pairs of views, and `weight_penalty` Ω over all weights: those of every f_i,
    W_i and g. g is in Ω only, so pictures never teach it anything. Nothing else may shrink weights: no weight decay.

    n_images: how many training images there are. `encoder` is what remains after training: f_1, without W_1.
    dim, hidden: width of h, and of g's layer per view.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        n_images: int,
        shared: bool = False,
        lambda_: float = 1.0,
        omega: float = 1e-4,
        p: float = 2.0,
        sigma: float = 1.0,
        epsilon: float = 1e-3,
        dim: int = 128,
        hidden: int = 64,
        policies: Sequence[Policy] = (Policy(), Policy()),
    ):
        super().__init__()
        self.contrast, self.p = {"sigma": sigma, "epsilon": epsilon}, p
        self.joint = {"n_images": n_images, "lambda_": lambda_, "omega": omega}
        sizes = {"shared": shared, "p": p, "dim": dim, "hidden": hidden}
        self.describe("article", policies, views=2, **self.joint, **self.contrast, **sizes)
        self.shared, self.dim, own = shared, dim, self.policies[:1] if shared else self.policies
        self.encoder, self.others = encoder, nn.ModuleList(_another(encoder) for _ in own[1:])
        self.projections = nn.ModuleList(nn.Linear(encoder.dim, dim, bias=False) for _ in own)
        self.g = nets.SimilarityNetwork(dim, len(self.policies), hidden)

    def represent(self, views: Sequence[Tensor]) -> list[Tensor]:
        """h_i = W_i f_i(x_i) of every view, k x (B, C, H, W) -> k x (B, dim)."""
        if self.shared:
            return encode(nn.Sequential(self.encoder, self.projections[0]), views)
        networks = zip((self.encoder, *self.others), self.projections, views, strict=True)
        return [W(f(view)) for f, W, view in networks]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        h = [gather(x) for x in self.represent(batch.views)]
        contrast = torch.stack([losses.distance_contrast(a, b, **self.contrast) for a, b in combinations(h, 2)]).mean()
        penalty = losses.weight_penalty(self.parameters(), p=self.p)
        return {"loss": losses.joint_loss(contrast, penalty, **self.joint), "contrast": contrast, "penalty": penalty}

    def encoders(self) -> list[nn.Module]:
        return [self.encoder, *self.others]  # the fusion hears them all

    def param_groups(self, progress: float) -> list[dict]:
        return [{**group, "decay": 0.0} for group in super().param_groups(progress)]  # Ω is the article's only penalty

    def reference_values(self, batch_size: int) -> dict[str, float]:
        same = losses.distance_contrast(torch.zeros(1, 1), torch.zeros(1, 1), **self.contrast)
        return {"bound": losses.joint_loss(same, torch.zeros(()), **self.joint).item()}  # all views and weights equal 0


class Fusion(nn.Module):
    """The article's fusion [h, g]: an encoder that says what all views' networks say, and how similar g finds it.

    To be trained with labels: `fine_tune(Fusion(method), data)` puts a linear layer on it, for classes and for numbers.
    The picture is every view. Here g gets its first gradient from pictures. (B, C, H, W) -> (B, dim).
    """

    def __init__(self, article: ArticleSimCLR):
        super().__init__()
        self.article, views = article, len(article.policies)
        self.dim, self.in_channels, self.spec = views * article.dim + views, article.encoder.in_channels, None

    def forward(self, x: Tensor) -> Tensor:
        h = self.article.represent([x] * len(self.article.policies))
        return torch.cat([*h, self.article.g(h)], dim=1)


def _another(encoder: nn.Module) -> nn.Module:
    """The same network with other first weights, and the same knowledge of the pictures."""
    if encoder.spec is None:
        raise ValueError("An encoder of your own cannot be built again for the other views. Use shared=True.")
    return nets.build(encoder.spec).begin_like(encoder)
