"""`pretrain`, `Run`, `load`, the report: what a user types, and what comes back."""

import copy
import json
import re
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import sslkit
from sslkit import augment, checkpoint, methods, nets, plots, recipes, train
from sslkit.augment import Policy

QUICK = dict(
    steps=6, batch_size=32, device="cpu", precision="float32", channels_last=False, marks=3, probe=20, progress=False
)


def small():
    return nets.small_resnet(widths=(8, 16))


@pytest.fixture(scope="module")
def run(tiny_shapes):
    return sslkit.pretrain("simclr", tiny_shapes, **QUICK)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "mine"
    run.report(path)
    return path


def test_the_face_of_the_package(run, tiny_shapes):
    assert run.embed(tiny_shapes.test.images).shape == (50, run.encoder.dim)
    assert run.embed(tiny_shapes.test.images.float() / 255).allclose(run.embed(tiny_shapes.test.images), atol=1e-5)
    assert run.history.step == 6
    assert "simclr on shapes, 6 of 6 steps, seed 0" in repr(run)
    assert not run.encoder.training


def test_evaluate_has_every_row_beside_its_baselines(run):
    table = run.evaluate()
    assert {"this encoder", "random encoder", "raw pixels", "PCA", "chance"} <= set(table.columns)
    assert {"linear probe", "kNN", "1 label per class", "50 labels per class"} <= set(table.measurements)
    score = table["linear probe", "this encoder"]
    assert score.low <= score.value <= score.high
    assert "95 %" in str(table)
    assert max(len(line) for line in str(table).splitlines()) <= 80


def test_seed_decides_and_nothing_else(run, tiny_shapes):
    torch.manual_seed(123)
    again = sslkit.pretrain("simclr", tiny_shapes, **QUICK)
    assert all(
        torch.equal(a, b) for a, b in zip(run.encoder.state_dict().values(), again.encoder.state_dict().values())
    )
    other = sslkit.pretrain("simclr", tiny_shapes, seed=1, **QUICK)
    assert not torch.equal(other.untrained.body[0].weight, run.untrained.body[0].weight)


def test_the_random_encoder_is_the_same_network_before_training(run):
    assert run.untrained.spec == run.encoder.spec
    assert not torch.equal(run.untrained.body[0].weight, run.encoder.body[0].weight)
    assert torch.equal(run.untrained.mean, run.encoder.mean)


def test_report_writes_everything_that_was_promised(folder):
    names = {p.name for p in folder.iterdir()}
    assert {
        "report.html",
        "encoder.safetensors",
        "card.json",
        "metrics.json",
        "embeddings.npz",
        "checkpoint.pt",
    } <= names
    assert {"views.png", "loss.png", "few_labels.png", "map.png", "neighbours.png", "collapse.png"} <= names
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 0 <= metrics["table"]["columns"]["this encoder"]["linear probe"]["value"] <= 1
    arrays = np.load(folder / "embeddings.npz")
    assert arrays["features"].shape == (50, 128)
    assert not [name for name in names if name.startswith(".")]


def test_report_is_one_file_that_opens_offline(folder):
    page = (folder / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    packed = r"""data:image/png;base64,[A-Za-z0-9+/=]+|<script type="application/json".*?</script>"""
    assert "http" not in re.sub(packed, "", page, flags=re.DOTALL)
    assert "@import" not in page
    assert page.count("<img") == page.count('alt="') >= 6
    assert "collapsed" in page
    assert "seed" in page
    assert str(torch.__version__) in page
    for heading in (
        "What it was shown",
        "How it learned",
        "Is it better than nothing?",
        "The map",
        "Nearest neighbours",
    ):
        assert heading in page


@pytest.mark.parametrize("what", ["folder", "checkpoint"])
def test_load_a_run(run, folder, tiny_shapes, what):
    loaded = sslkit.load(folder if what == "folder" else folder / checkpoint.FILE, data=tiny_shapes)
    x = tiny_shapes.test.images
    assert torch.equal(loaded.embed(x), run.embed(x))
    assert loaded.history.rows == run.history.rows
    assert torch.equal(loaded.untrained.body[0].weight, run.untrained.body[0].weight)
    assert loaded.evaluate().to_dict() == run.evaluate().to_dict()


def test_load_an_exported_encoder(run, tmp_path, tiny_shapes):
    run.export(tmp_path)
    for path in (tmp_path, tmp_path / "encoder.safetensors"):
        loaded = sslkit.load(path)
        assert torch.equal(loaded.embed(tiny_shapes.test.images), run.embed(tiny_shapes.test.images))
    assert "exported encoder" in repr(loaded)


def test_an_exported_encoder_takes_its_pictures_and_has_no_ceiling(run, tmp_path, tiny_shapes):
    run.export(tmp_path)
    loaded = sslkit.load(tmp_path, data=tiny_shapes)
    assert loaded.data is tiny_shapes
    with pytest.raises(ValueError, match="An exported encoder does not know its first weights"):
        loaded.ceiling  # noqa: B018


def test_an_encoder_of_your_own_is_copied_and_keeps_what_it_knows(tiny_shapes):
    mine = nets.small_resnet(widths=(8, 16), patches=True, whiten=True)
    first = sslkit.pretrain("simclr", tiny_shapes, encoder=mine, **QUICK).encoder
    assert first is not mine
    assert not mine.knows_pixels
    assert first.whitening.fitted
    before = {name: value.clone() for name, value in first.state_dict().items()}
    again = sslkit.recipes.method("vicreg", tiny_shapes, encoder=first).encoder
    assert torch.equal(again.body[0].weight, first.body[0].weight)  # and not filters from patches again
    assert not again.whitening.fitted
    again.set_statistics(torch.rand(4, 3, 16, 16))
    assert all(torch.equal(before[name], value) for name, value in first.state_dict().items())


def test_an_encoder_that_does_not_fit_is_explained(tiny_shapes):
    with pytest.raises(TypeError, match=r"encoder is a Linear; wrap a network of your own: nets\.adapt"):
        sslkit.pretrain("simclr", tiny_shapes, encoder=nn.Linear(3, 3), **QUICK)
    with pytest.raises(ValueError, match="encoder takes 1 channels, but views of 'shapes' have 3"):
        sslkit.pretrain("simclr", tiny_shapes, encoder=nets.small_resnet(1), **QUICK)


def test_an_unfinished_training_is_not_overwritten(tiny_shapes, tmp_path):
    stop = threading.Event()
    stopped = sslkit.pretrain("simclr", tiny_shapes, resume=tmp_path, stop=stop, watch=lambda row: stop.set(), **QUICK)
    before = (tmp_path / checkpoint.FILE).read_bytes()
    for write in (stopped.save, stopped.report, sslkit.load(tmp_path, data=tiny_shapes).save):
        with pytest.raises(ValueError, match=r"holds a training that stopped at step \d of 6 and can be continued"):
            write(tmp_path)
    assert (tmp_path / checkpoint.FILE).read_bytes() == before
    stopped.save(tmp_path / "copy")
    with pytest.raises(ValueError, match="was saved to be looked at, not to be continued"):
        sslkit.pretrain("simclr", tiny_shapes, resume=tmp_path / "copy", **QUICK)
    done = sslkit.pretrain("simclr", tiny_shapes, resume=tmp_path, **QUICK)
    done.save(tmp_path)


def test_a_report_says_at_once_what_it_lacks(run, tmp_path, tiny_shapes):
    run.export(tmp_path / "encoder")
    with pytest.raises(ValueError, match="An exported encoder has no training to report on"):
        sslkit.load(tmp_path / "encoder", data=tiny_shapes).report(tmp_path / "report")
    few = sslkit.datasets.arrays(tiny_shapes.images[:64], val=0.1, test=0)
    with pytest.raises(ValueError, match="A report needs five test pictures at least; 'arrays' has 0"):
        sslkit.pretrain("simclr", few, **QUICK | {"batch_size": 16}).report(tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_diverged_training_says_so(tiny_shapes):
    with pytest.raises(
        FloatingPointError, match=r"(no longer finite|The loss is \w+) at step \d.*try a learning rate below"
    ):
        sslkit.pretrain("simclr", tiny_shapes, **QUICK | {"lr": 1e4, "steps": 30, "marks": 10})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"data": np.zeros((9, 8, 8, 3), np.uint8)}, TypeError, "data is a ndarray; give a name, a folder or Images"),
        ({"method": None}, TypeError, "method is a NoneType; give a name such as 'simclr'"),
        ({"seed": None}, ValueError, "seed is None; give a whole number"),
        ({"seed": 10**30}, ValueError, "seed is 1000"),
        ({"minutes": "3"}, ValueError, "minutes is '3'; give a time above 0"),
        (
            {"data": sslkit.datasets.arrays(np.zeros((40, 1, 9), np.uint8))},
            ValueError,
            "Pictures of 'arrays' have 1x9 pixels; an encoder needs two in each direction",
        ),
        (
            {"data": sslkit.datasets.arrays(np.zeros((40, 8, 8), np.uint8)).val},
            ValueError,
            r"'arrays' has no training pictures \(split 0\)",
        ),
    ],
)
def test_wrong_kinds_of_arguments(tiny_shapes, arguments, error, message):
    arguments = {"method": "simclr", "data": tiny_shapes, "minutes": 1, **arguments}
    with pytest.raises(error, match=message):
        sslkit.pretrain(**arguments, progress=False)


def test_embedded_pictures_of_a_folder_come_in_the_order_of_their_names(run, tmp_path):
    from PIL import Image

    for i in range(12):
        Image.new("L", (16, 16), 20 * i).save(tmp_path / f"{i:02}.png")
    grey = torch.arange(12).mul(20).byte()[:, None, None, None].expand(12, 3, 16, 16)
    assert torch.allclose(run.embed(tmp_path), run.embed(grey), atol=1e-5)


def test_embed_takes_arrays_and_grey_pictures_and_says_what_is_wrong(run, tiny_shapes):
    x = tiny_shapes.test.images
    assert torch.equal(run.embed(x.permute(0, 2, 3, 1).numpy()), run.embed(x))
    assert torch.equal(run.embed(x[:, :1]), run.embed(x[:, :1].expand(-1, 3, -1, -1)))
    for wrong, message in (
        (x.float(), "floats from 0 to"),
        (x.float() / 128 - 1, "floats from -"),
        (x * torch.nan, "nan"),
    ):
        with pytest.raises(ValueError, match=f"{message}.*0 to 1 is expected"):
            run.embed(wrong)
    with pytest.raises(TypeError, match="images is a list; give Images"):
        run.embed([1, 2])


def test_other_pictures_than_those_of_the_training_are_named(folder, tiny_shapes, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sslkit.load(folder, data=tiny_shapes)
    other = sslkit.datasets.arrays(tiny_shapes.images, tiny_shapes.labels)
    with pytest.warns(UserWarning, match="'arrays' are not the pictures of this training, 'shapes'") as caught:
        assert sslkit.load(folder, data=other).data is other
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="'digits' are not the pictures"):
        assert sslkit.load(folder / "encoder.safetensors", data="digits").data.name == "digits"
    with pytest.raises(TypeError, match="data is a list"):
        sslkit.load(folder, data=[1])


def test_figures_of_an_earlier_report_do_not_stay(run, tiny_shapes, tmp_path):
    (tmp_path / "factors.png").touch()
    (tmp_path / "mine.png").touch()
    plain = sslkit.datasets.Images(tiny_shapes.images, tiny_shapes.labels, tiny_shapes.split)
    sslkit.pretrain("simclr", plain, **QUICK).report(tmp_path)
    assert not (tmp_path / "factors.png").exists()
    assert (tmp_path / "mine.png").exists()


def test_embed_a_folder_of_pictures(run, tmp_path):
    from PIL import Image

    for i in range(3):
        Image.new("RGB", (40 + i, 50), (80 * i, 10, 10)).save(tmp_path / f"{i}.png")
    assert run.embed(tmp_path).shape == (3, run.encoder.dim)


@pytest.mark.parametrize(
    "options",
    [{"temperature": np.float64(0.2)}, {"temperature": np.float32(0.2)}, {"head": (np.int64(16), np.int64(8))}],
)
def test_numbers_of_numpy_can_be_read_back(options, tiny_shapes, tmp_path):
    widths = tuple(np.array([8, 16]))
    encoder = sslkit.recipes.encoder(tiny_shapes, widths=widths)
    run = sslkit.pretrain("simclr", tiny_shapes, **QUICK, encoder=encoder, resume=tmp_path, **options)
    again = sslkit.load(tmp_path, data=tiny_shapes)
    assert again.embed(tiny_shapes.test.images).equal(run.embed(tiny_shapes.test.images))
    run.export(tmp_path / "alone")
    assert sslkit.load(tmp_path / "alone").encoder.spec == encoder.spec
    sslkit.pretrain("simclr", tiny_shapes, **QUICK, encoder=encoder, resume=tmp_path, **options)  # the same run


def test_names_of_numpy_can_be_read_back(tmp_path):
    x, y = np.random.default_rng(0).integers(0, 256, (64, 3, 16, 16), dtype=np.uint8), np.arange(64) % 2
    for names in (np.array(["a", "b"]), np.array([0, 1])):
        data = sslkit.datasets.arrays(x, y, names=names)
        folder = tmp_path / str(names.dtype)
        sslkit.pretrain("simclr", data, **QUICK, encoder=small(), resume=folder)
        assert sslkit.load(folder, data=data).about["names"] == [str(name) for name in names]


def test_what_could_not_be_read_again_is_found_before_the_first_step(tiny_shapes, tmp_path):
    method = sslkit.recipes.method("simclr", tiny_shapes, encoder=small())
    method.spec = {"name": "mine", "how": torch.nn.functional.relu}
    with pytest.raises(TypeError, match="The method's spec holds more than numbers, strings, lists and dictionaries"):
        sslkit.pretrain(method, tiny_shapes, **QUICK, resume=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_is_left_of_a_file_that_was_interrupted(tmp_path):
    def stopped(file):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint.write_file(tmp_path / "a.json", stopped)
    assert list(tmp_path.iterdir()) == []


def test_an_exported_network_of_your_own_is_explained(tiny_shapes, tmp_path):
    own = nets.adapt(nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), image_size=16)
    sslkit.pretrain("simclr", tiny_shapes, **QUICK, encoder=own).export(tmp_path)
    with pytest.raises(ValueError, match="its network is your own, and only you can build it"):
        sslkit.load(tmp_path)
    for card in ("[]", '{"encoder": {}}'):
        (tmp_path / "card.json").write_text(card)
        with pytest.raises(ValueError, match="make no encoder"):
            sslkit.load(tmp_path)


def test_a_run_needs_to_know_its_pictures():
    with pytest.raises(ValueError, match="Run needs data=: the Images that the encoder was trained on"):
        sslkit.Run(small())


def test_onnx_into_a_folder_is_refused_at_once(run, tmp_path):
    pytest.importorskip("onnxscript")
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file in it"):
        run.export_onnx(tmp_path)


def test_resume_goes_on_and_minutes_are_counted_once(tiny_shapes, tmp_path):
    options = {k: v for k, v in QUICK.items() if k != "steps"}
    first = sslkit.pretrain("simclr", tiny_shapes, minutes=0.02, resume=tmp_path, encoder=small(), **options)
    with pytest.warns(
        UserWarning, match="steps; minutes were counted when it began. For a longer one choose another folder"
    ):
        again = sslkit.pretrain("simclr", tiny_shapes, minutes=60, resume=tmp_path, encoder=small(), **options)
    assert again.config.steps == first.config.steps >= 20
    assert torch.equal(again.encoder.body[0].weight, first.encoder.body[0].weight)


def test_what_was_left_open_is_stored_as_it_was_decided(tiny_shapes, tmp_path):
    """Also in a finished run that was saved over its checkpoint: asking for it again finds it done."""
    options = {k: v for k, v in QUICK.items() if k not in ("device", "precision", "channels_last")}
    run = sslkit.pretrain("simclr", tiny_shapes, resume=tmp_path, encoder=small(), **options)
    assert run.config.device != "auto"
    assert run.config.precision != "auto"
    assert run.config.channels_last is not None
    run.save(tmp_path)
    again = sslkit.pretrain("simclr", tiny_shapes, resume=tmp_path, encoder=small(), **options)
    assert again.config == run.config == sslkit.load(tmp_path).config
    assert again.history.rows == run.history.rows


def test_a_method_of_your_own(tiny_shapes, tmp_path):
    method = methods.Joint(
        small(), nn.Linear(16, 8), lambda a, b: (a - b).square().mean(), policies=[Policy(), Policy()]
    )
    run = sslkit.pretrain(method, tiny_shapes, **QUICK)
    assert run.history.step == 6
    assert run.encoder.knows_pixels
    assert not method.encoder.knows_pixels  # it is a copy that was trained
    assert run.explore().plot().caption
    run.save(tmp_path)
    with pytest.raises(ValueError, match=r"holds a method or an encoder of your own.*load\(path, method=...\)"):
        sslkit.load(tmp_path)
    again = sslkit.load(tmp_path, tiny_shapes, method=method)
    assert str(again.evaluate()) == str(run.evaluate())
    assert all(torch.equal(value, run.method.state_dict()[name]) for name, value in again.method.state_dict().items())
    assert not torch.equal(method.head.weight, run.method.head.weight)
    with pytest.raises(ValueError, match="is of another network"):
        sslkit.load(tmp_path, method=methods.SimCLR(small()))
    run.export(tmp_path / "encoder")
    with pytest.raises(ValueError, match="is an exported encoder, which has no method"):
        sslkit.load(tmp_path / "encoder", method=method)


def test_an_encoder_of_other_channels_in_a_method_of_your_own(tiny_shapes):
    grey = methods.SimCLR(nets.small_resnet(in_channels=1, widths=(8, 16)))
    with pytest.raises(ValueError, match=r"takes images of shape \(B, 1, H, W\)"):
        sslkit.pretrain(grey, tiny_shapes, **QUICK)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (lambda z: z.mean(), "returned a Tensor; it must be a dictionary"),
        (lambda z: {"mse": z.mean()}, r"returned a dictionary of \['mse'\]; it must be a dictionary, such as"),
        (lambda z: {"loss": z.mean(1)}, r"returned 'loss' of shape \(32,\); it must be a tensor of one number"),
        (lambda z: {"loss": z.mean(), "norm": 3.0}, "returned 'norm' as a float; it must be a tensor of one number"),
        (lambda z: {"loss": z.mean().detach()}, "returned a loss without a gradient"),
        (lambda z: {"loss": z.mean(), "std": z.std()}, "returned 'std', under which the history keeps something else"),
    ],
)
def test_what_forward_must_return(terms, message, tiny_shapes):
    class Mine(methods.Method):
        def __init__(self):
            super().__init__()
            self.encoder, self.policies = small(), (Policy(),)

        def forward(self, batch):
            return terms(self.encoder(batch.views[0]))

    with pytest.raises((TypeError, ValueError), match="forward of Mine " + message):
        sslkit.pretrain(Mine(), tiny_shapes, **QUICK)


def test_a_stopped_run_goes_on_from_before_it_was_finished(tiny_shapes, tmp_path):
    """What is fitted at the end is fitted when one stops, too, but not in the checkpoint."""
    stop = threading.Event()
    how = {**QUICK, "steps": 9, "resume": tmp_path / "run"}
    sslkit.pretrain("quick", tiny_shapes, **how, stop=stop, watch=lambda row: row["step"] > 2 and stop.set())
    assert not sslkit.load(tmp_path / "run", tiny_shapes).encoder.whitening.fitted
    again, straight = (sslkit.pretrain("quick", tiny_shapes, **h) for h in (how, {**QUICK, "steps": 9}))
    assert all(torch.equal(a, b) for a, b in zip(again.encoder.parameters(), straight.encoder.parameters()))
    assert torch.equal(again.embed(tiny_shapes.test), straight.embed(tiny_shapes.test))


def test_the_history_keeps_what_was_seen_apart_from_what_was_minimised(tiny_shapes):
    run = sslkit.pretrain("align_uniform", tiny_shapes, **QUICK)
    assert len(run.history.column("alignment of z")[0]) == 6
    assert run.history.column("alignment")[0] == run.history.snapshot_steps


def test_an_option_that_no_file_can_hold_is_found_at_once_or_makes_the_network_your_own(tiny_shapes, tmp_path):
    with pytest.raises(TypeError, match="The method's spec holds more than numbers"):
        sslkit.pretrain("simclr", tiny_shapes, temperature=torch.tensor(0.5), **QUICK)
    assert nets.adapt("torchvision/resnet18", norm_layer=lambda width: nn.GroupNorm(8, width)).spec is None
    assert nets.adapt("torchvision/resnet18", zero_init_residual=True).spec["zero_init_residual"] is True


def test_it_learns_where_gradients_were_switched_off(tiny_shapes):
    with torch.no_grad():
        assert sslkit.pretrain("simclr", tiny_shapes, **QUICK).history.step == 6


def test_home_is_not_a_folder_of_that_name(run, tiny_shapes, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run.save("~/mine")
    assert (tmp_path / "mine" / "checkpoint.pt").exists()
    assert torch.equal(sslkit.load("~/mine", tiny_shapes).embed(tiny_shapes.test), run.embed(tiny_shapes.test))
    sslkit.pretrain("simclr", tiny_shapes, resume="~/other", **QUICK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "other"]


def test_a_name_is_no_method_to_load(folder):
    with pytest.raises(TypeError, match="method is a str; give the Method itself"):
        sslkit.load(folder, method="simclr")


def test_other_data_are_named_before_anything_else(tiny_shapes, tmp_path):
    sslkit.pretrain("simclr", tiny_shapes, resume=tmp_path, **QUICK)
    with pytest.raises(ValueError, match=r"its data was \('\w+', 'shapes'\), now it is \('\w+', 'digits'\)"):
        sslkit.pretrain("simclr", "digits", resume=tmp_path, **QUICK)


def test_a_folder_may_get_another_name(tiny_shapes, tmp_path):
    for name in ("photos", "my photos"):
        run = sslkit.pretrain("simclr", replace(tiny_shapes, name=name), resume=tmp_path, **QUICK)
    assert run.history.step == 6


def test_pictures_without_labels(tiny_shapes, tmp_path):
    data = sslkit.datasets.arrays(tiny_shapes.images)
    run = sslkit.pretrain("vicreg", data, **QUICK)
    text = str(run.evaluate())
    assert "No labels" in text
    assert "linear probe" not in text
    assert "<h1>" in run.report(tmp_path / "r").read_text()


def test_one_class_only(tiny_shapes):
    data = sslkit.datasets.arrays(tiny_shapes.images, torch.zeros(400, dtype=torch.int64))
    assert "shows one class only" in str(sslkit.pretrain("simclr", data, **QUICK).evaluate())


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_transparent_pictures(channels, tmp_path):
    pictures = torch.randint(0, 256, (300, channels, 16, 16), dtype=torch.uint8)
    run = sslkit.pretrain("simclr", sslkit.datasets.arrays(pictures, torch.arange(300) % 3), **QUICK)
    assert run.encoder.in_channels == (1 if channels == 1 else 3)
    assert run.report(tmp_path / "r").exists()


def test_a_recipe_brings_its_encoder_and_its_training(tiny_shapes):
    run = sslkit.pretrain("quick", tiny_shapes, **QUICK)
    assert run.encoder.dim == 4 * (32 + 64 + 128 + 64)  # three stages and the dictionary, in quadrants
    assert run.config.resolutions == (0.5, 0.5, 0.5, 0.5, 0.75, 1.0)
    assert run.method.spec["temperature"] == 0.1
    assert run.encoder.mirror
    fixed = sslkit.augment.Policy(flip=0.0)
    assert not sslkit.recipes.quick(tiny_shapes, policies=(fixed, fixed))[0].encoder.mirror  # right and left may matter
    with pytest.raises(TypeError, match=r"policies is \(1, 2\); give one Policy for each view"):
        sslkit.recipes.quick(tiny_shapes, policies=(1, 2))
    with pytest.raises(ValueError, match="Unknown method 'quick'"):  # more than a method
        sslkit.recipes.method("quick", tiny_shapes)
    whole = sslkit.pretrain("quick", tiny_shapes, resolutions=(1.0,), temperature=0.4, **QUICK)
    assert (whole.config.resolutions, whole.method.spec["temperature"]) == ((1.0,), 0.4)


def test_a_method_that_is_given_is_not_trained_in_place(tiny_shapes):
    """So that a loop over seeds begins where it seems to begin."""
    mine = methods.SimCLR(nets.small_resnet(widths=(8, 16)))
    before = copy.deepcopy(mine.state_dict())
    first, second = (sslkit.pretrain(mine, tiny_shapes, **QUICK) for _ in range(2))
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())
    assert torch.equal(first.embed(tiny_shapes.test), second.embed(tiny_shapes.test))
    mine.encoder = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 8))
    with pytest.raises(
        TypeError, match=r"^The method's encoder is a Sequential; wrap a network of your own: nets.adapt\(network\)\.$"
    ):
        sslkit.pretrain(mine, tiny_shapes, **QUICK)


def test_the_baseline_of_a_continued_run_is_what_was_before_its_first_step(tiny_shapes, tmp_path):
    mine, stop = methods.SimCLR(nets.small_resnet(widths=(8, 16))), threading.Event()
    how = {**QUICK, "steps": 6, "resume": tmp_path / "run"}
    first = sslkit.pretrain(mine, tiny_shapes, **how, stop=stop, watch=lambda row: stop.set())
    again = methods.SimCLR(nets.small_resnet(widths=(8, 16)))  # other random weights
    whole = sslkit.pretrain(again, tiny_shapes, **how)
    assert first.history.step < whole.history.step == 6
    for run in (first, whole, sslkit.load(tmp_path / "run", tiny_shapes)):
        assert torch.equal(run.untrained.body[0].weight, mine.encoder.body[0].weight)


def test_one_picture_is_not_taken_for_three_grey_ones(tiny_shapes):
    run = sslkit.pretrain("simclr", tiny_shapes, **QUICK)
    with pytest.raises(ValueError, match=r"\(3, \d+, \d+\): is that one picture\? Give images\[None\]\.$"):
        run.embed(tiny_shapes.images[0].numpy())


def test_a_stopped_run_is_examined_as_its_baseline_is(tiny_shapes):
    stop = threading.Event()
    run = sslkit.pretrain("quick", tiny_shapes, **{**QUICK, "steps": 9}, stop=stop, watch=lambda row: stop.set())
    assert run.history.step < 9
    assert torch.equal(run.embed(tiny_shapes.test), run.features["this encoder"]["test"])
    for features in (run.features["this encoder"], run.features["random encoder"]):
        assert features["train"].mean(0).abs().max() < 0.05
        assert features["test"][:, -256:].abs().sum() > 0


def test_a_stopped_run_that_was_loaded_has_one_encoder(tiny_shapes, tmp_path):
    """Its checkpoint is from before it could be finished: whatever is asked first, all get the finished one."""
    stop, own = threading.Event(), tmp_path / "a"
    run = sslkit.pretrain(
        "quick", tiny_shapes, **{**QUICK, "steps": 9}, resume=own, stop=stop, watch=lambda row: stop.set()
    )
    expected = run.embed(tiny_shapes.test)
    for first in ("embed", "features", "export"):
        loaded = sslkit.load(own, data=tiny_shapes)
        if first == "export":
            loaded.export(tmp_path / "encoder")
            assert torch.equal(sslkit.load(tmp_path / "encoder").embed(tiny_shapes.test), expected)
        if first == "features":
            assert torch.equal(loaded.features["this encoder"]["test"], expected)
        assert torch.equal(loaded.embed(tiny_shapes.test), expected)
    with pytest.warns(UserWarning, match="not the pictures of this training"):
        elsewhere = sslkit.load(own, data=sslkit.datasets.shapes(100, resolution=16, seed=9))
    with pytest.raises(ValueError, match="still has to be finished on the pictures that it was trained on"):
        elsewhere.embed(tiny_shapes.test)


def test_a_folder_never_holds_parts_of_two_runs(run, tiny_shapes, tmp_path):
    run.report(tmp_path / "a")
    other = sslkit.pretrain("simclr", tiny_shapes, encoder=small(), **QUICK | {"seed": 7})
    with pytest.raises(ValueError, match="holds the checkpoint of another run"):
        other.export(tmp_path / "a")
    other.save(tmp_path / "a")
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == [
        "card.json",
        "checkpoint.pt",
        "encoder.safetensors",
    ]
    other.export(tmp_path / "a")  # its own
    page = other.report(tmp_path / "a")
    other.save(tmp_path / "a")
    with pytest.raises(ValueError, match="another run"):
        sslkit.load(run.export(tmp_path / "b")).save(tmp_path / "a")
    assert page.exists()  # its own stays, and what cannot be saved takes nothing away
    assert set(sslkit.run.FIGURES) == set(sslkit.report.TEXT)


def test_a_changed_loss_of_ones_own_cannot_be_seen_and_that_is_said(tiny_shapes, tmp_path):
    def own():
        views = (augment.Policy(), augment.Policy())
        return methods.Joint(small(), torch.nn.Identity(), lambda a, b: (a - b).square().mean(), policies=views)

    sslkit.pretrain(own(), tiny_shapes, resume=tmp_path, **QUICK)
    with pytest.warns(UserWarning, match="nobody can see whether its loss or its views have changed"):
        sslkit.pretrain(own(), tiny_shapes, resume=tmp_path, **QUICK)


def test_two_trainings_in_two_threads_do_not_disturb_each_other(tiny_shapes):
    done = []

    def work():
        done.append(sslkit.pretrain("simclr", tiny_shapes, **QUICK).encoder.state_dict())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert all(torch.equal(a, b) for other in done[1:] for a, b in zip(done[0].values(), other.values(), strict=True))


def test_nothing_is_trained_in_inference_mode(tiny_shapes):
    with torch.inference_mode(), pytest.raises((ValueError, RuntimeError), match="inference"):
        sslkit.pretrain("simclr", tiny_shapes, encoder=small(), **QUICK)


def test_names_that_are_no_text_and_no_home(run, tiny_shapes, tmp_path, monkeypatch):
    bad = b"\xe4pfel".decode("utf-8", "surrogateescape")
    figure = plots.map2d(torch.rand(30, 2), torch.arange(30) % 2, names=[bad, "b"])
    assert figure.legends or figure.axes[0].texts
    monkeypatch.delenv("SSLKIT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    (tmp_path / "a.txt").write_text("no picture")
    with pytest.raises(OSError, match="set SSLKIT_CACHE"):
        sslkit.datasets.folder(tmp_path)
    assert sslkit.maps.remembered(sslkit.maps.tsne, torch.rand(40, 3), perplexity=5.0).shape == (40, 2)


def test_features_are_made_where_the_training_was(tiny_shapes, monkeypatch):
    """The encoder lives on the CPU; 70,000 pictures should not."""
    run, seen = sslkit.pretrain("simclr", tiny_shapes, **QUICK), []
    features = sslkit.evaluation.features
    monkeypatch.setattr(
        sslkit.evaluation, "features", lambda *x, where, **how: seen.append(where) or features(*x, **how)
    )
    monkeypatch.setattr(sslkit.device, "best_device", lambda: "mps")
    run.embed(tiny_shapes.test)
    for there in ("cuda", "cpu"):  # a run of another machine finds what there is here
        run.config = replace(run.config, device=there)
        run.embed(tiny_shapes.test)
    assert seen == [None, "mps", None]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="cuda: no GPU here")
def test_features_of_a_real_gpu_equal_those_of_the_cpu(tiny_shapes):
    encoder = (
        sslkit.nets.small_resnet(widths=(8, 16), whiten=True).eval().finish(sslkit.augment.to_float(tiny_shapes.images))
    )
    there = sslkit.evaluation.features(encoder, tiny_shapes.test, where="cuda")
    torch.testing.assert_close(there, sslkit.evaluation.features(encoder, tiny_shapes.test), rtol=1e-2, atol=1e-2)
    assert encoder.mean.device.type == "cpu"


def test_an_encoder_is_finished_after_the_last_step(tiny_shapes, tmp_path):
    """Not before, so that a run that was stopped goes on as if nothing had been; and so is its baseline."""
    out = tmp_path / "run"
    run = sslkit.pretrain("quick", tiny_shapes, **QUICK, resume=out)
    h = run.embed(tiny_shapes.train)
    assert h.mean(0).abs().max() < 0.05
    for encoder, finished in ((run.encoder, True), (run.untrained, False)):
        assert (encoder.beside.fitted, encoder.whitening.fitted) == (finished, finished)
        assert torch.equal(encoder.whitening.matrix, torch.eye(encoder.dim)) is not finished
    assert run.features["random encoder"]["train"].mean(0).abs().max() < 0.05
    assert torch.equal(run.untrained.body[0].weight, run.encoder.first_filters)  # what training began with

    page = run.report(tmp_path / "report").read_text()
    assert "The last point stands apart" in page
    assert "without training was finished in the same way" in page
    assert "Right and left were made alike" in page
    run.encoder.mirror = False
    assert "Right and left were made alike" not in run.report(tmp_path / "unmirrored").read_text()
    run.encoder.mirror = True

    again = sslkit.load(out, tiny_shapes)
    assert torch.equal(again.embed(tiny_shapes.test), run.embed(tiny_shapes.test))
    for split, features in run.features["random encoder"].items():
        torch.testing.assert_close(again.features["random encoder"][split], features)


def test_a_method_whose_steps_were_timed_still_finishes(tiny_shapes):
    method, settings = sslkit.recipes.recipe("quick", tiny_shapes)
    config = sslkit.train.resolve(sslkit.train.TrainConfig(steps=6, batch_size=32, **settings))
    sslkit.train.step_seconds(method, tiny_shapes, config, warm=1, steps=3)
    untouched = torch.eye(method.encoder.dim)
    assert not method.encoder.whitening.fitted
    assert torch.equal(method.encoder.whitening.matrix, untouched)
    sslkit.train.fit(method, tiny_shapes, config)
    assert method.encoder.whitening.fitted
    assert not torch.equal(method.encoder.whitening.matrix, untouched)


def test_fine_tuning_leaves_what_was_fitted_as_it_is(tiny_shapes):
    run = sslkit.pretrain("quick", tiny_shapes, **QUICK)
    model, _ = sslkit.fine_tune.fine_tune(run.encoder, tiny_shapes, steps=3)
    assert torch.equal(model.encoder.whitening.matrix, run.encoder.whitening.matrix)
    assert torch.equal(model.encoder.beside.centres, run.encoder.beside.centres)


# ---- bad input: one clear sentence, nothing half-written


def test_unknown_names_suggest(tiny_shapes):
    with pytest.raises(ValueError, match=r"Unknown method 'simclear'\. Did you mean 'simclr'"):
        sslkit.pretrain("simclear", tiny_shapes, **QUICK)
    with pytest.raises(ValueError, match=r"Unknown data set 'shape'\. Did you mean 'shapes'"):
        sslkit.pretrain("simclr", "shape", **QUICK)


def test_two_budgets(tiny_shapes):
    with pytest.raises(ValueError, match="minutes=1 and steps=6 are two budgets"):
        sslkit.pretrain("simclr", tiny_shapes, minutes=1, steps=6)
    with pytest.raises(ValueError, match="steps is 0"):
        sslkit.pretrain("simclr", tiny_shapes, steps=0)


def test_unknown_option_names_itself(tiny_shapes):
    for name, given, meant in (
        ("simclr", "temprature", "temperature"),
        ("quick", "temprature", "temperature"),
        ("byol", "batchsize", "batch_size"),  # of the training
    ):
        with pytest.raises(TypeError, match=f"Unknown option of '{name}': '{given}'. Did you mean '{meant}'"):
            sslkit.pretrain(name, tiny_shapes, **{given: 1}, **QUICK)
    with pytest.raises(TypeError, match="Unknown options temperature"):
        sslkit.pretrain(methods.SimCLR(small()), tiny_shapes, temperature=0.1, **QUICK)


def test_another_checkpoint_is_refused(run, folder, tiny_shapes):
    with pytest.raises(ValueError, match="is of another run: its method was"):
        sslkit.pretrain("vicreg", tiny_shapes, resume=folder, **QUICK)


@pytest.mark.parametrize("damage", ["truncated", "no card", "bad card", "missing"])
def test_damaged_exports(run, tmp_path, damage):
    run.export(tmp_path)
    file, card = tmp_path / "encoder.safetensors", tmp_path / "card.json"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "no card":
        card.unlink()
    elif damage == "bad card":
        card.write_text("{")
    else:
        file.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=r"damaged|needs its card.json|no encoder at"):
        sslkit.load(file)


def test_load_nothing():
    with pytest.raises(FileNotFoundError, match="There is no checkpoint at nowhere"):
        sslkit.load("nowhere")


def test_data_that_changed_is_noticed(folder):
    loaded = sslkit.load(folder)
    with pytest.raises(ValueError, match="cannot be found by their name, 'shapes'"):
        loaded.evaluate()


def test_full_disk_while_exporting_leaves_no_half_file(run, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "replace", full)
    with pytest.raises(OSError, match=r"Could not write .*encoder\.safetensors.*No space left"):
        run.export(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_config_is_public():
    assert sslkit.TrainConfig is train.TrainConfig


def test_an_encoder_that_was_given_is_the_baseline_after_loading_too(tiny_shapes, tmp_path):
    """Whether it was trained before or not: a fresh one of the same seed would be another baseline."""
    given = sslkit.pretrain("simclr", tiny_shapes, **QUICK).encoder
    run = sslkit.pretrain("simclr", tiny_shapes, **QUICK | {"seed": 7}, encoder=given, resume=tmp_path / "kept")
    run.save(tmp_path / "saved")
    for folder in ("kept", "saved"):
        untrained = sslkit.load(tmp_path / folder).untrained.state_dict()
        assert all(torch.equal(untrained[name], value) for name, value in run.untrained.state_dict().items())
        assert all(torch.equal(untrained[name], value) for name, value in given.state_dict().items())


def test_tied_weights_are_exported_apart(tiny_shapes, tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Linear(3 * 16 * 16, 8)
            self.two = torch.nn.Linear(3 * 16 * 16, 8)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.one(x.flatten(1)) + self.two(x.flatten(1))

    run = sslkit.pretrain("simclr", tiny_shapes, encoder=nets.adapt(Tied(), image_size=16), **QUICK)
    run.export(tmp_path)
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "encoder.safetensors")
    assert torch.equal(weights["body.one.weight"], weights["body.two.weight"])


def test_a_few_hundred_pictures_are_enough_for_quick(tmp_path):
    """Features that are silent on so few pictures must not shout on others: neither scores nor the report suffer."""
    digits = sslkit.datasets.load("digits")
    few = digits[
        torch.cat([(digits.split == part).nonzero().flatten()[:n] for part, n in ((0, 120), (1, 30), (2, 300))])
    ]
    run = sslkit.pretrain("quick", few, **QUICK | {"steps": 20, "marks": 3})
    for name in ("this encoder", "random encoder"):
        assert run.features[name]["test"].abs().max() < 300
        assert run.evaluate()["linear probe", name].value > 0.5
    assert all(snapshot.isfinite().all() for snapshot in run.history.snapshots)
    run.report(tmp_path)


@pytest.mark.parametrize("make", ["npz", "npy", "folder"])
def test_own_pictures_do_not_take_the_views_of_a_set_of_that_name(make, tmp_path):
    from PIL import Image

    x = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    path = tmp_path / f"shapes.{make}" if make != "folder" else tmp_path / "shapes"
    if make == "npz":
        np.savez(path, images=x)
    elif make == "npy":
        np.save(path, x.transpose(0, 3, 1, 2))
    else:
        path.mkdir()
        for i, picture in enumerate(x):
            Image.fromarray(picture).save(path / f"{i}.png")
    data = sslkit.datasets.load(path)
    assert data.name == "shapes (yours)"
    assert recipes.views_for(data).hue == 0.1 != recipes.views_for(sslkit.datasets.shapes(40)).hue


def test_the_bar_of_a_run_that_goes_on_tells_the_time_that_is_left():
    """What an earlier training did took no time of this one: the rate counts from where it began."""
    config = train.TrainConfig(steps=1000)
    with sslkit.progress.Bar(config, True, begin=900) as bar:
        assert bar.bar.initial == bar.bar.n == config.work(900)
        bar.and_then(None)({"step": 910})
        assert bar.bar.n == config.work(910)


def test_a_run_that_does_not_know_its_first_weights_is_saved_too(run, tmp_path):
    known = {"data": run.data, "config": run.config, "history": run.history}
    sslkit.Run(run.encoder, method=run.method, **known).save(tmp_path)
    again = sslkit.load(tmp_path)
    assert torch.equal(again.embed(run.data.test), run.embed(run.data.test))
    assert again.untrained is not None  # made again from the seed
