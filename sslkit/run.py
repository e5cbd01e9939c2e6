"""`pretrain` and what it returns: a `Run`, with everything one wants to do with a trained encoder."""

from __future__ import annotations

import copy
import json
import platform
import threading
import warnings
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sslkit import augment, checkpoint, datasets, device, distributed, evaluation, maps, nets, recipes, seeds
from sslkit.datasets import Images
from sslkit.errors import unknown
from sslkit.methods import Method
from sslkit.progress import Bar
from sslkit.train import History, TrainConfig, check_budget, fit, resolve, steps_for, unchanged

CARD, WEIGHTS = "card.json", "encoder.safetensors"
FIGURES = (
    "views",
    "loss",
    "result",
    "few_labels",
    "map",
    "journey",
    "neighbours",
    "collapse",
    "factors",
)  # of a report
REPORTED = ("report.html", "metrics.json", "embeddings.npz", *(f"{name}.png" for name in FIGURES))


def pretrain(
    method: str | Method = "simclr",
    data: str | Images = "shapes",
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    resume: str | Path | None = None,
    progress: bool | None = None,
    watch: Callable[[dict], None] | None = None,
    stop: threading.Event | None = None,
    **options,
) -> Run:
    """Learn a representation of `data` without its labels.

    method: a name ("quick", "simclr", "vicreg", ..., see `sslkit.recipes`) or a `Method` of your own.
    data: `Images`, or the name of a data set.
    minutes or steps: the budget (3 minutes if neither is given). seed: of the network, the order and the views.
    resume: a run folder. Checkpoints go there; if it holds one of this same run, training goes on, or is done already.
    progress: show a bar (by default wherever somebody can see it). watch, stop: see `sslkit.train.fit`.
    options: fields of `TrainConfig` (batch_size=, lr=, precision=, ...) or of the method (temperature=, encoder=, ...).
    A method or an encoder that you give is copied, and told the pixel statistics if it knows none; the encoder is then the
    untrained baseline, whether it has been trained before or not, and `seed` does not reach what is in it. Ctrl-C ends the
    training in good order: the run has fewer steps than its `config`.
    Raises ValueError or TypeError with one sentence for what does not fit, FloatingPointError when the loss is no longer
    finite, and KeyboardInterrupt if it is stopped while the steps of `minutes` are counted.
    """
    check_budget(minutes, steps)
    data = _pictures(data)
    if not (data.split == 0).any():
        raise ValueError(f"{data.name!r} has no training pictures (split 0) to learn from.")
    if not isinstance(method, str | Method):
        raise TypeError(
            f"method is a {type(method).__name__}; give a name such as 'simclr', or a Method that you built."
        )
    seeds.check(seed)
    method, settings = settled(method, data, seed, options)
    budget = {"minutes": minutes, "steps": steps, "seed": seed}
    return pretrain_in_place(method, data, settings, **budget, resume=resume, progress=progress, watch=watch, stop=stop)


def pretrain_in_place(
    method: Method, data: Images, settings: dict, *, minutes=None, steps=None, seed=0, resume=None, progress=None,
    watch=None, stop=None,
) -> Run:  # fmt: skip
    """`pretrain` without a copy: it trains the method that is given, so that `watch` may look into it."""
    if not isinstance(method.encoder, nets.Encoder):
        raise TypeError(
            f"The method's encoder is a {type(method.encoder).__name__}; wrap a network of your own: nets.adapt(network)."
        )
    untrained = copy.deepcopy(method.encoder)  # the baseline that matters most

    known = checkpoint.read(resume) if resume is not None and checkpoint.exists(resume) else None
    before = known and known.get("untrained")
    stored = known and known["config"]
    if stored and steps is None:
        steps = stored["steps"]  # minutes were counted when the run began
        if minutes is not None and known["history"]["step"] >= steps:
            warnings.warn(
                f"The training in {resume} has done its {steps:,} steps; minutes were counted when it began. For a longer "
                "one choose another folder.",
                stacklevel=3,
            )
    config = TrainConfig(steps=1 if steps is None else steps, seed=seed, **settings)
    if stored:
        config = checkpoint.settle(config, stored)
    elif steps is None:
        config = steps_for(3 if minutes is None else minutes, method, data, config, stop)
    else:
        config = resolve(config)
    begin = known["history"]["step"] if known else 0
    with Bar(config, progress if distributed.world()[0] == 0 else False, begin=begin) as bar:
        history = fit(method, data, config, folder=resume, watch=bar.and_then(watch), stop=stop)
    if history.step < config.steps:  # stopped: what is fitted at the end has to be fitted now
        method.finish(partial(unchanged, data))
    if before:  # after `fit`, which has made sure that it is the same network
        untrained.load_state_dict(before)
    method.to("cpu", memory_format=torch.contiguous_format).eval()
    return Run(method.encoder, method=method, data=data, config=config, history=history, untrained=untrained)


def _pictures(data: str | Path | Images) -> Images:
    """Raises TypeError for what is neither Images nor the name of some."""
    data = datasets.load(data) if isinstance(data, str | Path) else data
    if not isinstance(data, Images):
        raise TypeError(
            f"data is a {type(data).__name__}; give a name, a folder or Images: datasets.arrays(x) makes them from arrays, "
            "and train.fit takes any iterable of batches."
        )
    data.check()  # its split may have been set by hand
    return data


def settled(method: str | Method, data: Images, seed: int, options: dict) -> tuple[Method, dict]:
    """A method by name or as it is, and the settings of `TrainConfig` among the options; a recipe brings some of its own.

    Raises TypeError for options that neither knows.
    """
    names = {field.name for field in fields(TrainConfig)}
    settings = {name: value for name, value in options.items() if name in names}
    others = {name: value for name, value in options.items() if name not in names}
    if isinstance(method, str):
        known = names | recipes.option_names(method)
        if strange := sorted(others.keys() - known):
            raise TypeError(str(unknown(f"option of {method!r}:", strange[0], known)))
        method, usual = recipes.recipe(method, data, seed=seed, **others)
        return method, usual | settings
    if others:
        raise TypeError(f"Unknown options {', '.join(others)}: a Method that you built has its options already.")
    method = copy.deepcopy(method)  # what was given is not trained in place
    for encoder in method.modules():
        if isinstance(encoder, nets.Encoder):
            recipes.tell_pixels(encoder, data)
    return method, settings


def load(path: str | Path, data: str | Path | Images | None = None, *, method: Method | None = None) -> Run:
    """Read a run folder, a checkpoint, or an exported encoder (`encoder.safetensors`, or a folder that holds one).

    data: the pictures it was trained on, for evaluation; by default they are loaded by name when they are first needed.
    Others may be given, too; a warning then says that they are others. (A `quick` that was stopped is finished when its
    encoder is first needed, and only on the pictures of its training.)
    method: what was trained, if it or its encoder is your own: built as it was then. It is copied, and gets the weights.
    Raises FileNotFoundError or ValueError with one sentence.
    """
    if method is not None and not isinstance(method, Method):
        raise TypeError(f"method is a {type(method).__name__}; give the Method itself, built as it was.")
    path = Path(path).expanduser()
    alone = path.suffix == ".safetensors" or ((path / WEIGHTS).exists() and not (path / checkpoint.FILE).exists())
    if alone and method is not None:
        raise ValueError(f"{path} is an exported encoder, which has no method; give the folder of the run.")
    run = _load_encoder(path) if alone else _load_checkpoint(path, method)
    if data is not None:
        run._data = data = _pictures(data)
        if data.fingerprint() != run.about["fingerprint"]:
            warnings.warn(
                f"{data.name!r} are not the pictures of this training, {run.about['name']!r}, or not in the same split: "
                "scores on them tell how well the representation travels.",
                stacklevel=2,
            )
    return run


def _load_checkpoint(path: Path, own: Method | None) -> Run:
    state = checkpoint.read(path)
    if own is None and None in (state["method"], state["encoder"]):
        raise ValueError(
            f"{path} holds a method or an encoder of your own, which only your code can build. Build it as it was and give "
            "it, too: load(path, method=...)."
        )
    config = TrainConfig(**state["config"])
    method = recipes.build(state["method"], state["encoder"], seed=config.seed) if own is None else copy.deepcopy(own)
    untrained = copy.deepcopy(method.encoder)
    checkpoint.put_weights(state, method, path)
    if first := state.get("untrained"):
        untrained.load_state_dict(first)
    else:
        untrained.begin_like(method.encoder)
    known = {"history": History(**state["history"]), "about": state["data"]}
    return Run(method.encoder, method=method.eval(), config=config, untrained=untrained, **known)


def _load_encoder(path: Path) -> Run:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path if path.suffix == ".safetensors" else path / WEIGHTS
    if not file.exists():
        raise FileNotFoundError(f"There is no encoder at {file}.")
    try:
        card = json.loads((file.parent / CARD).read_text(encoding="utf-8"))
        about, spec = card["data"], card["encoder"]
        if spec is None:
            raise ValueError("its network is your own, and only you can build it: load_state_dict takes the weights")
        encoder = nets.build(spec)
        encoder.load_state_dict(load_file(file))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{file} needs its {CARD} beside it: it says which network the weights belong to."
        ) from None
    except (SafetensorError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{file} and its {CARD} make no encoder ({str(error).splitlines()[0][:120]}). Export it again."
        ) from error
    return Run(encoder.eval(), about=about)


class Run:
    """A trained encoder with its data, its history, and the ways to look at it.

    encoder: pixels in [0, 1] to representation. method, config, history: how it was trained (None for an exported encoder).
    untrained: the same network before the first step. about: what `checkpoint.describe` says of data that are not at hand.
    What has been measured is kept: for other pictures, labels or splits make another Run, or `load` it with data=.
    Raises ValueError for neither data nor about.
    """

    def __init__(
        self,
        encoder: nets.Encoder,
        *,
        method: Method | None = None,
        data: Images | None = None,
        config: TrainConfig | None = None,
        history: History | None = None,
        untrained: nets.Encoder | None = None,
        about: dict | None = None,
    ):
        if data is None and about is None:
            raise ValueError(
                "Run needs data=: the Images that the encoder was trained on. For a stream, see train.fit."
            )
        self.encoder, self.method, self.untrained = encoder, method, untrained
        self.config, self.history = config, history
        self._data, self.about = data, about if data is None else checkpoint.describe(data)

    def __repr__(self) -> str:
        what = (
            (self.method.spec or {}).get("name", "a method of yours")
            if self.method is not None
            else "an exported encoder"
        )
        trained = (
            f", {self.history.step:,} of {self.config.steps:,} steps, seed {self.config.seed}" if self.history else ""
        )
        return f"Run({what} on {self.about['name']}{trained}, {self.encoder.dim} dimensions)"

    @property
    def data(self) -> Images:
        """The pictures it was trained on. After `load` they are found by name, and compared with what was stored."""
        if self._data is None:
            name = self.about["name"]
            data = datasets.load(name) if name in datasets.NAMES else None
            if data is None or data.fingerprint() != self.about["fingerprint"]:
                if name == "stream":
                    raise ValueError(
                        "This run saw a stream: give Images to look at it with, sslkit.load(path, data=...)."
                    )
                raise ValueError(
                    f"The pictures of this run cannot be found by their name, {name!r}: they are your own, or another "
                    "version. Give them: sslkit.load(path, data=...)."
                )
            self._data = data
        return self._data

    def embed(self, images: Images | Tensor | np.ndarray | str | Path) -> Tensor:
        """Representations h of pictures: `Images`, a tensor (N, C, H, W), an array, or a folder. -> (N, D) float32, on the
        CPU.

        uint8, or float in [0, 1]; arrays as in `datasets.arrays`. Pictures of a folder become squares as wide as those of
        the training, and come in the order of their sorted paths; files that cannot be read are left out, with a warning.
        Grey pictures fit a network of colours. Raises ValueError or TypeError for everything else.
        """
        if isinstance(images, str | Path):
            images = datasets.folder(images, size=self.about["shape"][-1], val=0, test=0)
        elif isinstance(images, np.ndarray):
            if images.ndim == 3 and images.shape[0] == self.encoder.in_channels == 3:
                raise ValueError(f"images have shape {images.shape}: is that one picture? Give images[None].")
            images = datasets.arrays(images)
        x = images.images if isinstance(images, Images) else images
        if not isinstance(x, Tensor):
            raise TypeError(f"images is a {type(x).__name__}; give Images, a tensor, an array or a folder.")
        if x.is_floating_point() and x.numel() and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(
                f"images are floats from {x.min():.4g} to {x.max():.4g}, but 0 to 1 is expected, not normalised: the "
                "encoder does that."
            )
        if x.ndim == 4 and x.shape[1] == 1 < self.encoder.in_channels:
            x = x.expand(-1, self.encoder.in_channels, -1, -1)
        return evaluation.features(self._whole(), x, where=self._where)

    @property
    def stopped(self) -> bool:
        """Whether the training ended before its last step: by Ctrl-C, a signal, or `stop`."""
        return self.history is not None and self.history.step < self.config.steps

    @property
    def _where(self) -> str | None:
        """Where features are made: on an accelerator, if one made the run; the encoder itself stays on the CPU."""
        trained_there = self.config is not None and self.config.device not in ("cpu", "auto")
        return device.best_device() if trained_there else None

    def _whole(self) -> nets.Encoder:
        """The encoder, finished: the checkpoint of a stopped training is from before what is fitted at its end."""
        fitted = [layer.fitted for layer in self.encoder.modules() if isinstance(layer, nets.Fitted)]
        if self.stopped and not all(fitted):
            if self.data.fingerprint() != self.about["fingerprint"]:
                raise ValueError(
                    "This training was stopped, and its encoder still has to be finished on the pictures that it was "
                    "trained on, not on others: load it with those, and give the others to embed."
                )
            self.encoder.eval().finish(augment.to_float(unchanged(self.data)))
        return self.encoder

    @cached_property
    def features(self) -> dict[str, dict[str, Tensor]]:
        """Features of the whole data set, {name: {split: (N, D)}}: "this encoder", then its baselines.

        The baselines are the same encoder untrained, raw pixels, and their principal components. The splits are those of
        `evaluation.split_features`.
        """
        data, encoders = self.data, {"this encoder": self._whole()}
        if self.untrained is not None:  # a dictionary and whitening need no training, so its baseline has them, too
            begun = copy.deepcopy(self.untrained).eval()
            encoders["random encoder"] = begun.finish(augment.to_float(unchanged(data)))
        learned = {
            name: evaluation.split_features(encoder, data, where=self._where) for name, encoder in encoders.items()
        }
        return learned | evaluation.baselines(data)

    @cached_property
    def _table(self) -> evaluation.Table:
        return evaluation.evaluate(self.features, self.data)

    def evaluate(self) -> evaluation.Table:
        """kNN, linear probe and few labels beside their baselines, with intervals; what there is without labels."""
        return self._table

    @cached_property
    def ceiling(self) -> evaluation.Score:
        """What the same network reaches with all labels, trained from scratch for half a minute: how far there is to go."""
        from sslkit.fine_tune import supervised_ceiling

        if self.untrained is None:
            raise ValueError("An exported encoder does not know its first weights, so it has no ceiling: load the run.")
        return supervised_ceiling(self.untrained, self.data)

    def save(self, path: str | Path) -> Path:
        """Write the run into a folder: checkpoint.pt, encoder.safetensors and card.json. Returns the folder.

        The checkpoint can be loaded and looked at; a training run that is to be continued uses `resume=` instead. Where the
        folder held another run, its report goes, too. Raises ValueError for a folder with a training that is not done.
        """
        folder = checkpoint.check_free(path)
        self._whole()
        if self.method is None:  # an exported encoder: there is nothing more to write
            return self.export(folder)
        other = self._another_in(folder)
        untrained = None if self.untrained is None else self.untrained.state_dict()
        known = self.method, untrained, self.about, self.config, self.history
        checkpoint.write(folder / checkpoint.FILE, checkpoint.pack(*known))
        self._write_encoder(folder)
        for name in REPORTED if other else ():
            (folder / name).unlink(missing_ok=True)
        return folder

    def _another_in(self, folder: Path) -> bool:
        """Whether a folder has the checkpoint of another encoder than this one."""
        if not (folder / checkpoint.FILE).exists():
            return False
        stored = checkpoint.read(folder)["weights"]
        mine = ((f"encoder.{name}", p.detach().cpu()) for name, p in self.encoder.named_parameters())
        return not all(name in stored and torch.equal(stored[name], p) for name, p in mine)

    def export(self, path: str | Path) -> Path:
        """Write the encoder alone: encoder.safetensors and card.json, which says what it is and how it was made.

        Raises ValueError for a folder with the checkpoint of another run, which `load` would prefer.
        """
        folder = checkpoint.check_writable(path)
        self._whole()
        if self._another_in(folder):
            raise ValueError(f"{folder} holds the checkpoint of another run: choose another folder to export to.")
        self._write_encoder(folder)
        return folder

    def _write_encoder(self, folder: Path) -> None:
        import safetensors.torch

        state = self.encoder.state_dict()
        weights = {name: value.contiguous().clone() for name, value in state.items()}  # a copy each: some may be tied
        card = json.dumps(self.card(), indent=2).encode()
        packed = safetensors.torch.save(weights)
        checkpoint.write_file(folder / WEIGHTS, lambda file: file.write(packed))
        checkpoint.write_file(folder / CARD, lambda file: file.write(card))

    def export_onnx(self, path: str | Path) -> Path:
        """Write the encoder as an ONNX file: "images" (N, C, H, W), float32 in [0, 1], to "features" (N, D), for any N.

        The pixel statistics are part of it. Returns the path. Raises ModuleNotFoundError with one sentence without ONNX.
        """
        try:
            import onnxscript  # noqa: F401 (PyTorch's exporter needs it, and says so at length)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("ONNX is not installed: pip install 'sslkit[onnx]'.") from error
        path = Path(path).expanduser()
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; give the name of a file in it, such as encoder.onnx.")
        checkpoint.check_writable(path.parent)
        program = torch.onnx.export(
            self._whole().eval(), (torch.rand(2, *self.card()["input"]["shape"], device=self.encoder.mean.device),),
            dynamo=True, verbose=False,
            input_names=["images"], output_names=["features"], dynamic_shapes=({0: torch.export.Dim("N")},),
        )  # fmt: skip
        checkpoint.write_file(path, lambda file: file.write(program.model_proto.SerializeToString()))
        return path

    def card(self) -> dict:
        """What one must know to use the encoder: the network, its input, its data, its training, the versions."""
        import sslkit

        return checkpoint.plain(
            {
                "sslkit": sslkit.__version__,
                "encoder": self.encoder.spec,
                "input": {
                    "shape": [self.encoder.in_channels, *self.about["shape"][1:]],
                    "range": [0.0, 1.0],
                    "dtype": "float32",
                },
                "dim": self.encoder.dim,
                "data": self.about,
                "method": None if self.method is None else self.method.spec,
                "training": None if self.config is None else asdict(self.config),
                "steps_done": None if self.history is None else self.history.step,
                "torch": str(torch.__version__),
                "python": platform.python_version(),
                "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
            }
        )

    def report(self, path: str | Path) -> Path:
        """Write a run folder with `report.html`, one page that opens offline, and everything that is on it.

        The supervised ceiling is on it if `run.ceiling` has been measured.
        """
        from sslkit.report import write_report  # a face of the package: the layers above may be called from here only

        return write_report(self, path)

    @cached_property
    def map(self) -> dict:
        """t-SNE of up to 2,000 test pictures: {"positions": (M, 2), "index": (M,) into data.test, "measures": {...}}.

        The measures say how far the map can be trusted: trustworthiness, and how many true neighbours it shows.
        """
        index = self._mapped
        x = torch.nn.functional.normalize(self.features["this encoder"]["test"], dim=1)[index]
        positions = maps.remembered(maps.tsne, x, perplexity=min(30.0, (len(x) - 1) / 4))
        k = min(10, (len(x) - 1) // 2)
        measures = {
            "trustworthiness": maps.trustworthiness(x, positions, k=k),
            "neighbours recalled": maps.neighbour_recall(x, positions, k=k),
        }
        return {"positions": positions, "index": index, "measures": measures}

    @property
    def _mapped(self) -> Tensor:
        n = len(self.data.test)
        if n < 5:
            raise ValueError(f"A map needs five test pictures at least; {self.data.name!r} has {n}.")
        return torch.randperm(n, generator=seeds.generator("map"))[:2000].sort().values

    def explore(self, *, journey: bool = False, **options):
        """The map of up to 2,000 test pictures as an `Explorer`: point, select, colour. `explore().plot()` is a figure.

        journey: instead, validation pictures as the encoder saw them from the first step to the last, with a slider.
        options: of the explorer, as `perplexities=` and `seeds=` of its t-SNE maps. PCA is shown at once, the rest is
        computed in the background. Raises ValueError if there is no journey to show.
        """
        from sslkit.widgets import Explorer  # a face of the run, as the report

        name = (self.method.spec or {}).get("name", "your method") if self.method is not None else "an encoder"
        options = {"title": f"{name} on {self.about['name']}"} | options
        if journey:
            history = self.history
            if history is None or len(history.snapshots) < 2:
                raise ValueError(
                    "This run has no snapshots of its training: train with marks=10 and validation pictures."
                )
            seen, x = self.data.val[history.snapshot_index], torch.stack(history.snapshots).float()
            return Explorer(x, seen, steps=history.snapshot_steps, **options)
        test = self.data.test
        known = vars(self).get("features")  # if somebody has asked for them
        x = self.embed(test) if known is None else known["this encoder"]["test"]
        return Explorer(x[self._mapped], test[self._mapped], predicted=self._predict, **options)

    def _predict(self) -> Tensor:
        """Labels that a linear probe, fitted on the training pictures, gives to those on the map."""
        x, data = self.features["this encoder"], self.data
        val = {} if data.val.labels is None else {"val_x": x["val"], "val_y": data.val.labels}
        probe = evaluation.fit_linear(x["train"], data.train.labels, **val)
        return probe.predict(x["test"][self._mapped])
