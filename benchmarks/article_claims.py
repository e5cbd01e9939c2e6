"""What the founding article says its losses do, measured on `shapes` (docs/article.md, rows L5 and R1 to R6).

    python benchmarks/article_claims.py            # 41 rows of 200 steps, narrow encoder; finished rows are skipped
    python benchmarks/article_claims.py --quick    # to see that it runs (writes no record)
    python benchmarks/article_claims.py --tables   # the tables of the records there are

Three groups of rows:

claims   R1 to R3: NT-Xent, the article's distance contrast, the mean difference (and the mean squared difference, the other
         way to read that name), all in SimCLR's wiring; the article's own method; a random encoder, raw pixels. 3 seeds.
omega    R4 to R6: SimCLR with the article's weight penalty, nt_xent + omega * Ω over all weights, no weight decay; 5 seeds.
         The article's 1 / 2N is left out: it multiplies both terms, and Adam does not see it unless gradients are tiny.
adam     L5: are they? The article's method, 200 steps by hand, with N = 1 and with N as large as the training set.

Writes one JSON file per row into benchmarks/records/article_claims/.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from _rows import main, probes, small, table, train

from sslkit import augment, evaluation, losses, maps, seeds
from sslkit.evaluation import factors, fit_linear, retrieval, split_features
from sslkit.methods import Method

# --- R1 to R3: what the losses keep ---


def mean_squared_difference(z1, z2):
    return (z1 - z2).square().sum(dim=1).mean()


def simclr_with(loss):
    def build(data, seed):
        method = small("simclr", data, seed)
        method.loss, method.references, method.spec = loss, None, None
        return method

    return build


BUILD = {
    "NT-Xent": lambda data, seed: small("simclr", data, seed),
    "distance contrast": simclr_with(losses.distance_contrast),
    "mean difference": simclr_with(losses.mean_difference),
    "mean squared difference": simclr_with(mean_squared_difference),
    "the article's method": lambda data, seed: small("article", data, seed),
}


def claim(what, seed, data, budget):
    run, record = train(BUILD[what](data, seed), data, budget, seed)
    return {"group": "claims", "what": what, **record, "values": kept(split_features(run.encoder, data), data)}


def baseline(what, seed, data, budget):
    if what == "random encoder":
        x = split_features(small("simclr", data, seed).encoder, data)
    else:
        x = evaluation.baselines(data)[what]
    return {"group": "claims", "what": what, "seed": seed, "values": kept(x, data)}


def kept(x, data, points=1000) -> dict[str, float]:
    """Neighbourhoods, retrieval, factors and rank of features, by split.

    map: trustworthiness of the t-SNE map, against the features. factor neighbours: trustworthiness of the features
    themselves against all true factors, on one scale: are neighbours alike in what the picture was made from?
    """
    test = data.test
    some, ids = F.normalize(x["test"][:points], dim=1), torch.arange(len(test))
    k = min(10, (len(some) - 1) // 2)
    picture = maps.tsne(some, perplexity=min(30.0, (len(some) - 1) / 4))
    values = {
        "map": maps.trustworthiness(some, picture, k=k),
        "factor neighbours": maps.trustworthiness(factor_space(data)[:points], some, k=k),
        "finds shifted copy": float(retrieval(x["shifted"], ids, x["test"], ids)),
        "factors R²": mean_r2(x, data),
    }
    return values | {
        name: value for name, value in probes(x, data).items() if name in ("linear probe", "kNN", "RankMe")
    }


def factor_space(data):
    """All factors of the test pictures as numbers of unit variance, (N, d); a factor that a shape does not have is 0."""
    columns = [
        value.nan_to_num(0) if value.is_floating_point() else F.one_hot(value).float()
        for value in data.test.factors.values()
    ]
    return torch.cat([c / c.var(0).sum().sqrt() for c in columns], dim=1)  # every factor weighs the same


def mean_r2(x, data):
    """Mean R² over the factors that are numbers."""
    parts = [
        {n: v for n, v in split.factors.items() if v.is_floating_point()} for split in (data.train, data.test, data.val)
    ]
    found = factors(x["train"], parts[0], x["test"], parts[1], val_x=x["val"], val_factors=parts[2])
    return sum(float(score) for score in found.values()) / len(found)


# --- R4 to R6: what the penalty does ---


class Penalised(Method):
    """A method with the article's penalty on all its weights."""

    def __init__(self, method, omega):
        super().__init__()
        self.method, self.omega = method, omega
        self.encoder, self.policies = method.encoder, method.policies

    def forward(self, batch):
        loss, penalty = self.method(batch)["loss"], losses.weight_penalty(self.method.parameters())
        return {"loss": loss + self.omega * penalty, "contrast": loss, "penalty": penalty}


def penalised(omega, seed, data, budget):
    method = Penalised(small("simclr", data, seed), omega)
    run, record = train(method, data, budget, seed, weight_decay=0.0)
    x, train_y, test_y = split_features(run.encoder, data), data.train.labels, data.test.labels
    values = {}
    for n in (1, 5, 10, 50):
        gaps = [gap(x, train_y, test_y, n, draw) for draw in range(5)]
        values[f"test, {n}"] = sum(test for _, test in gaps) / len(gaps)
        values[f"gap, {n}"] = sum(train - test for train, test in gaps) / len(gaps)
    probe = fit_linear(x["train"], train_y, x["val"], data.val.labels)
    for name, policy in {"clean": PLAIN, "noise": NOISE, "blur": BLUR}.items():
        views = augment.view(data.test.images, policy, seeds.generator("robust"))
        guess = probe.predict(evaluation.features(run.encoder, views))
        values[name] = (guess == test_y).float().mean().item()
    values |= {"RankMe": evaluation.collapse(x["test"])["rankme"], "factors R²": mean_r2(x, data)}
    values["Ω"] = losses.weight_penalty(run.method.method.parameters()).item()
    return {"group": "omega", "what": f"ω = {omega:g}", "omega": omega, **record, "values": values}


# The whole of a square picture, and the same spoiled.
PLAIN = augment.Policy(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0, gray=0.0)
NOISE = replace(PLAIN, noise=0.1)
BLUR = replace(PLAIN, blur=1.0, blur_sigma=(1.0, 1.0))


def gap(x, train_y, test_y, n, draw):
    """Accuracy of a linear probe on the n pictures of each class that it learned from, and on the test pictures."""
    order = torch.randperm(len(train_y), generator=seeds.generator("few", draw))
    chosen = torch.cat([order[train_y[order] == label][:n] for label in train_y.unique()])
    probe = fit_linear(x["train"][chosen], train_y[chosen], decays=(1e-2,))
    right = lambda features, labels: (probe.predict(features) == labels).float().mean().item()
    return right(x["train"][chosen], train_y[chosen]), right(x["test"], test_y)


# --- L5: does 1 / 2N bring Adam's gradients near its ε? ---


def adam(n_images, data, budget, eps=1e-8):
    method = small("article", data, 0, n_images=n_images or len(data.train))
    optimiser = torch.optim.AdamW(method.parameters(), lr=3e-3, eps=eps, weight_decay=0.0)
    steps, images = budget.get("steps", 200), data.train.images
    for step in range(steps):
        index = torch.randint(len(images), (min(256, len(images)),), generator=seeds.generator("adam", step))
        terms = method(method.collect(images[index], index, None, seeds.generator("views", step)))
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
    size = torch.cat([s["exp_avg_sq"].sqrt().flatten() for s in optimiser.state.values()]) / (1 - 0.999**steps) ** 0.5
    values = {
        "median √v / ε": size.median().item() / eps,
        "mean step, as a share of Adam's without ε": (size / (size + eps)).mean().item(),
    }
    values["weights that take less than half a step"] = (size < eps).float().mean().item()
    return {"group": "adam", "what": f"N = {n_images or len(data.train):,}", "steps": steps, "values": values}


# --- rows and tables ---

ROWS = {
    f"claims-{what.lower().replace(' ', '-')}-{seed}": lambda data, budget, what=what, seed=seed: claim(
        what, seed, data, budget
    )
    for seed in (0, 1, 2)
    for what in BUILD
}
ROWS |= {
    f"claims-{what.replace(' ', '-')}-{seed}": lambda data, budget, what=what, seed=seed: baseline(
        what, seed, data, budget
    )
    for what, seed in (("random encoder", 0), ("random encoder", 1), ("random encoder", 2), ("raw pixels", 0))
}
ROWS |= {
    f"omega-{omega:g}-{seed}": lambda data, budget, omega=omega, seed=seed: penalised(omega, seed, data, budget)
    for seed in range(5)
    for omega in (0.0, 1e-4, 1e-2, 1.0)
}
ROWS |= {f"adam-{name}": lambda data, budget, n=n: adam(n, data, budget) for name, n in (("one", 1), ("all", None))}


def tables(records: list[dict]) -> str:
    """The records as Markdown: one table per group."""
    digits = {"RankMe": 1, "Ω": 0, "median √v / ε": 0, "map": 3, "factor neighbours": 3}
    titles = {
        "claims": "What the losses keep (R1 to R3)",
        "omega": "What the penalty does (R4 to R6)",
        "adam": "Adam's ε (L5)",
    }
    parts = []
    for group, title in titles.items():
        if rows := [record for record in records if record["group"] == group]:
            parts.append(f"### {title}\n\n" + table(rows, first="`shapes`", digits=digits))
    return "\n\n".join(parts) or "No records yet."


if __name__ == "__main__":
    main("article_claims", __doc__.splitlines()[0], ROWS, tables, budget={"steps": 200})
