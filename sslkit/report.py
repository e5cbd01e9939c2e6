"""The report: one self-contained page that opens offline, and beside it everything that is on it."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from sslkit import checkpoint, evaluation, nets, plots, seeds
from sslkit.run import Run
from sslkit.widgets import Explorer, Scene
from sslkit.widgets._explorer import inline, script
from sslkit.widgets._explorer import style as widget_style


def write_report(run: Run, path: str | Path) -> Path:
    """Write the folder of a run: `report.html`, the figures as PNG, metrics.json, embeddings.npz, the checkpoint, and the
    encoder with its card. Returns the path of the page. Raises OSError with one sentence if the folder cannot be written,
    ValueError if it holds a training that is not done, for an exported encoder, and with fewer than five test pictures.
    """
    if run.method is None:
        raise ValueError("An exported encoder has no training to report on: load the run, or use run.evaluate().")
    if len(run.data.test) < 5:  # of fewer there is no map
        raise ValueError(f"A report needs five test pictures at least; {run.data.name!r} has {len(run.data.test)}.")
    folder = checkpoint.check_free(path)
    table = run.evaluate()
    run.save(folder)  # before anything is drawn, which may fail
    explorers = explore(run)
    figures = draw(run, explorers)
    for name, figure in figures.items():
        checkpoint.write_file(folder / f"{name}.png", partial(figure.savefig, format="png", dpi=150))
    for name in TEXT.keys() - figures.keys():  # of an earlier report in this folder
        (folder / f"{name}.png").unlink(missing_ok=True)
    ceiling = vars(run).get("ceiling")  # measured only if somebody asked for it
    metrics = {
        "ceiling": None if ceiling is None else asdict(ceiling),
        "table": table.to_dict(),
        "map": run.map["measures"],
        "history": run.history.rows,
        "card": run.card(),
    }
    checkpoint.write_file(folder / "metrics.json", lambda file: file.write(json.dumps(metrics, indent=2).encode()))
    test = run.data.test
    arrays = {"features": run.features["this encoder"]["test"], "labels": test.labels, "groups": test.groups}
    arrays |= {"map": run.map["positions"], "map_index": run.map["index"]}
    arrays = {name: value.numpy() for name, value in arrays.items() if value is not None}
    checkpoint.write_file(folder / "embeddings.npz", lambda file: np.savez_compressed(file, **arrays))
    page = _page(run, table, figures, explorers, ceiling).encode()
    checkpoint.write_file(folder / "report.html", lambda file: file.write(page))
    return folder / "report.html"


def explore(run: Run) -> dict[str, Explorer]:
    """What can be explored on the page, complete: the map, and the journey of the training if it was recorded."""
    explorers = {"map": run.explore(perplexities=[30], seeds=[0])}
    if run.history is not None and len(run.history.snapshots) > 1:
        explorers["journey"] = run.explore(journey=True)
    return {name: explorer.wait() for name, explorer in explorers.items()}


def draw(run: Run, explorers: dict[str, Explorer]) -> dict[str, object]:
    """All figures of a run, by name. What needs labels or factors is left out where there are none."""
    table = run.evaluate()
    figures = {"views": plots.views_grid(*_sample_views(run))}
    references = run.method.reference_values(run.config.batch_size)
    figures["loss"] = plots.loss_curve(run.history.rows, references, finished=_finished(run) and not run.stopped)
    budgets = {f"{n} label{'s' * (n > 1)} per class": n for n in (1, 5, 10, 50)}
    measured = [name for name in table.columns if name != "chance"]
    curves = {
        name: {n: table.columns[name][row] for row, n in budgets.items()} | {None: table.columns[name]["linear probe"]}
        for name in measured
        if "linear probe" in table.columns[name]
    }
    if curves:
        chance = float(table["linear probe", "chance"])
        figures["result"] = plots.compare(
            {name: {row: table[row, name] for row in ("linear probe", "kNN")} for name in measured}, chance=chance
        )
        figures["few_labels"] = plots.few_label(curves, chance=chance)
    figures["map"] = explorers["map"].plot()
    if "journey" in explorers:
        figures["journey"] = _stills(explorers["journey"].scene)
    queries, found, hits, overall = _sample_neighbours(run)
    figures["neighbours"] = plots.neighbours(queries, found, hits, overall=overall)
    figures["collapse"] = plots.collapse(
        {n: table.collapse[n] for n in table.collapse if n not in ("raw pixels", "PCA")}
    )
    probed = [row for row in table.measurements if row.endswith("(R²)")]
    if probed:
        figures["factors"] = plots.factors(
            {name: {row.removesuffix(" (R²)"): table.columns[name][row] for row in probed} for name in measured}
        )
    return figures


def _stills(scene: Scene):
    """Six moments of the training side by side, for print and for readers without scripts."""
    name = next((name for name in scene.layouts if name.startswith("t-SNE")), "PCA")
    moments = sorted({round(i * (scene.epochs - 1) / 5) for i in range(6)})
    maps = {f"step {scene.steps[i]:,}": scene.layouts[name][i] for i in moments}
    return plots.maps_grid(maps, scene.labels, names=scene.names or None)


def _sample_views(run: Run):
    """Six training pictures and four views of each, as the method draws them."""
    pictures = run.data.train.images[:6]
    views = [
        run.method.collect(pictures, torch.arange(len(pictures)), None, seeds.generator("report", i)).views
        for i in range(2)
    ]
    return pictures, [view for pair in views for view in pair[:2]]


def _sample_neighbours(run: Run, *, queries: int = 8, k: int = 7):
    """Some test pictures and their nearest training pictures by cosine, whether they have the same label, and how many of
    the neighbours of all test pictures have."""
    train, test, x = run.data.train, run.data.test, run.features["this encoder"]
    chosen = torch.randperm(len(test), generator=seeds.generator("neighbours"))[:queries]
    asked = x["test"] if test.labels is not None else x["test"][chosen]
    _, near = evaluation.nearest(asked, x["train"], k=min(k, len(train)))  # (M, k)
    if test.labels is None:
        return test.images[chosen], train.images[near], None, None
    hits = train.labels[near] == test.labels[:, None]
    return test.images[chosen], train.images[near[chosen]], hits[chosen], hits.double().mean().item()


def _finished(run: Run) -> bool:
    """Whether something was fitted beside the network when training was done."""
    return any(isinstance(layer, nets.Fitted) for layer in run.encoder.modules())


FINISHED = {  # what an encoder with layers that are fitted after training has to add
    "loss": " The last point stands apart: it was taken when the last step was done, and the encoder finished. How much "
    "each quarter looks like typical patches stands beside what the network gives, if it has a dictionary of them; and "
    "features are whitened, which lets neighbours count every direction.",
    "factors": " What the network has forgotten, its early stages and patches beside it may still tell, such as colours.",
    "result": " This network without training was finished in the same way: the difference is what training gave.",
}
MIRRORED = {
    "loss": " From then on, the features of a picture are the mean over it and its mirror image.",
    "factors": " Right and left were made alike: features are the mean over a picture and its mirror image, which helps to "
    "tell classes, and costs the horizontal place and the side to which a thing turns.",
}
GROWING = {"loss": " The loss jumps where the views grow, because larger views are new to the network."}
TEXT = {  # figure: (heading, what it is for)
    "views": (
        "What it was shown",
        "The method never sees a label. It sees views: two random changes of the same picture. What the views of one "
        "picture do not share, the encoder learns to ignore.",
    ),
    "loss": (
        "How it learned",
        "The loss says whether the task is being solved. It does not say whether the representation is good: for that, "
        "watch the accuracy below it, measured on validation pictures.",
    ),
    "result": (
        "Is it better than nothing?",
        "A number means little alone. Beside it stand raw pixels, their principal components, and the same network "
        "without any training.",
    ),
    "few_labels": (
        "What it saves",
        "Labels are expensive. The curves show how far a linear classifier gets with few of them.",
    ),
    "map": ("The map", "t-SNE places pictures that are neighbours in the representation near each other."),
    "journey": (
        "How it got there",
        "The same validation pictures from the first step of the training to the last: press Play, or move the slider. "
        "Each map starts from the one before.",
    ),
    "neighbours": (
        "Nearest neighbours",
        "A test picture, and the training pictures that the encoder finds most similar. Wrong ones tell what it confuses.",
    ),
    "collapse": (
        "Has it collapsed?",
        "A representation can satisfy a loss by making everything equal. The singular values show how many directions "
        "are really used.",
    ),
    "factors": (
        "What survived, and what was forgotten",
        "How well a linear probe reads each factor of the pictures. What two views do not share may be forgotten.",
    ),
}


def _page(run: Run, table: evaluation.Table, figures: dict, explorers: dict, ceiling: evaluation.Score | None) -> str:
    method = (run.method.spec or {}).get("name", "your method")
    title = f"{method} on {run.data.name}"
    mirrored, growing = run.encoder.mirror, len(set(run.config.resolutions)) > 1
    # No row of a stopped run has seen its encoder finished.
    at_the_end = lambda said: {name: text for name, text in said.items() if not (name == "loss" and run.stopped)}
    additions = [at_the_end(FINISHED)] * _finished(run) + [at_the_end(MIRRORED)] * mirrored + [GROWING] * growing
    sections = []
    for name, figure in figures.items():
        heading, text = TEXT[name]
        text += "".join(more.get(name, "") for more in additions)
        body = plots.html(figure)
        if name in explorers:  # the figure is for print, and for readers without scripts
            body = f'{inline(explorers[name])}<div class="still">{body}</div>'
        if name == ("result" if "result" in figures else "loss"):
            scroll = 'class="scroll" tabindex="0" role="region" aria-label="Table of results"'
            body += f"<div {scroll}>{table._repr_html_()}</div>"
        sections.append(f'<section id="{name}"><h2>{heading}</h2><p>{text}</p>{body}</section>')
    style = files("sslkit").joinpath("report.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}: sslkit report</title><style>{widget_style()}{style}</style></head><body><main>
<h1>What did it learn without labels?</h1>
<p class="lead">{escape(title)}: an encoder looked at {len(run.data.train):,} pictures for
{run.history.seconds / 60:.1f} minutes and was never told what is on them. This page asks what it can tell apart now.</p>
{_result(table, ceiling)}
{"".join(sections)}
<section id="made"><h2>How this was made</h2>{_facts(run)}</section>
</main>{script()}</body></html>
"""


def _result(table: evaluation.Table, ceiling: evaluation.Score | None) -> str:
    """The answer in one sentence, beside the best baseline."""
    name = next(iter(table.columns))
    if "linear probe" not in table.columns[name]:
        return f'<p class="result">{escape(table.collapse[name]["verdict"])}</p>'
    score = table["linear probe", name]
    value, row, other = table.best_baseline
    top = (
        ""
        if ceiling is None
        else f" The same network, trained from scratch with all labels for half a minute, reaches {ceiling.value:.2f}."
    )
    return (
        f'<p class="result"><strong>{score.value:.2f}</strong> of the test pictures are classified correctly by a linear '
        f"probe on its features (95 % interval {score.low:.2f} to {score.high:.2f}). The best baseline reaches "
        f"<strong>{value:.2f}</strong> ({escape(other)}, {row}).{top}</p>"
    )


def _facts(run: Run) -> str:
    card = run.card()
    details = {"method": card["method"], "training": card["training"], "encoder": card["encoder"]}
    facts = {
        "data": f"{run.data} (fingerprint {card['data']['fingerprint']})",
        "training": f"{run.history.step:,} steps of {run.config.batch_size} pictures, seed {run.config.seed}",
        "encoder": f"{run.encoder.dim} features, {sum(p.numel() for p in run.encoder.parameters()):,} parameters",
        "speed": f"{np.median(run.history.column('images_per_second')[1]):,.0f} images per second while training",
        "machine": card["machine"],
        "versions": f"sslkit {card['sslkit']}, PyTorch {card['torch']}, Python {card['python']}",
        "to load it": 'sslkit.load("this folder").embed(pictures)',
    }
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
    every = escape(json.dumps(details, indent=1))
    return f"<dl>{rows}</dl><details><summary>Every setting</summary><pre>{every}</pre></details>"
