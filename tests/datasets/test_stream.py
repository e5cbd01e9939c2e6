"""Any iterable of batches feeds the loop: a DataLoader, a list, one that can tell where it is, and those that cannot."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import sslkit
from sslkit import checkpoint, nets, recipes, train
from sslkit.datasets import Stream

CONFIG = train.TrainConfig(steps=12, batch_size=32, device="cpu", precision="float32", channels_last=False)


@pytest.fixture
def method(tiny_shapes):
    return recipes.method("simclr", tiny_shapes, encoder=nets.small_resnet(widths=(8, 16)), head=(32, 16))


class Counter:
    """Batches of a tensor in order, and the number of the next one: the smallest thing that can be resumed."""

    def __init__(self, images, size=32):
        self.images, self.size, self.next = images, size, 0

    def __iter__(self):
        while (self.next + 1) * self.size <= len(self.images):
            self.next += 1
            yield self.images[(self.next - 1) * self.size : self.next * self.size]
        self.next = 0

    def state_dict(self):
        return {"next": self.next}

    def load_state_dict(self, state):
        self.next = state["next"]


def weights_equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_data_loader_feeds_the_loop(method, tiny_shapes, tmp_path):
    """With labels, shuffled, and with a last batch that is smaller: 300 pictures are nine batches and twelve pictures."""
    loader = DataLoader(TensorDataset(tiny_shapes.train.images, tiny_shapes.train.labels), batch_size=32, shuffle=True)
    seen = []
    collect = method.collect

    def watched(images, index, labels, generator):
        seen.append((images, index, labels))
        return collect(images, index, labels, generator)

    method.collect = watched
    history = train.fit(method, loader, CONFIG, folder=tmp_path)
    assert history.step == 12
    assert "rankme" not in history.rows[-1]  # there are no pictures to look at
    assert [len(images) for images, _, _ in seen] == [32] * 12
    assert torch.equal(torch.cat([index for _, index, _ in seen]), torch.arange(12 * 32))
    known = {
        tuple(x.flatten().tolist()): y for x, y in zip(tiny_shapes.train.images, tiny_shapes.train.labels.tolist())
    }
    for images, _, labels in seen[:3]:
        assert [known[tuple(x.flatten().tolist())] for x in images] == labels.tolist()
    loaded = sslkit.load(tmp_path)
    assert loaded.embed(tiny_shapes.test.images).shape == (50, 16)
    with pytest.raises(ValueError, match="This run saw a stream: give Images"):
        loaded.evaluate()


def test_a_list_is_begun_again(tiny_shapes):
    batches = list(tiny_shapes.train.images.split(100))  # three
    stream = iter(Stream(batches))
    assert [torch.equal(next(stream)[0], batches[i % 3]) for i in range(7)] == [True] * 7


def test_smaller_batches_are_left_out(tiny_shapes):
    full, few = tiny_shapes.images[:8], tiny_shapes.images[8:11]
    stream = iter(Stream([full, few, few[:0], full / 255]))
    assert [len(next(stream)[0]) for _ in range(4)] == [8] * 4


def test_automatic_settings_are_measured_on_the_first_batch(method, tiny_shapes):
    images = list(tiny_shapes.train.images.split(32))[:9]
    history = train.fit(method, images, replace(CONFIG, steps=2, precision="auto", channels_last=None))
    assert history.step == 2


@pytest.mark.parametrize("kind", ["tensor", "numpy", "pair", "list of one", "float"])
def test_forms_of_a_batch(tiny_shapes, kind):
    x, y = tiny_shapes.images[:8], tiny_shapes.labels[:8]
    batch = {"tensor": x, "numpy": x.numpy(), "pair": (x, y), "list of one": [x], "float": x / 255}[kind]
    stream = Stream([batch])
    images, labels = next(iter(stream))
    assert torch.equal(images, x / 255 if kind == "float" else x)
    assert (labels is not None) == (kind == "pair")
    assert (stream.size, stream.shape) == (8, (3, 16, 16))


# ---- stop and resume


def stop_and_resume(method, data, folder, config):
    stop = threading.Event()
    train.fit(method, data(), config, folder=folder, stop=stop, watch=lambda row: row["step"] == 5 and stop.set())
    assert 5 <= checkpoint.read(folder)["history"]["step"] < 12
    return train.fit(method, data(), config, folder=folder)


def test_resume_is_exact_with_state(tiny_shapes, tmp_path, recwarn):
    def method():
        return recipes.method("simclr", tiny_shapes, encoder=nets.small_resnet(widths=(8, 16)), head=(32, 16))

    torch.manual_seed(0)
    straight = method()
    broken = method()
    broken.load_state_dict(straight.state_dict())
    train.fit(straight, Counter(tiny_shapes.train.images), CONFIG)
    stop_and_resume(broken, lambda: Counter(tiny_shapes.train.images), tmp_path, CONFIG)
    assert weights_equal(straight, broken)
    assert not [w for w in recwarn if "state_dict" in str(w.message)]


def test_resume_without_state_goes_on_and_warns(method, tiny_shapes, tmp_path):
    batches = list(tiny_shapes.train.images.split(32))[:9]
    with pytest.warns(UserWarning, match="Resuming on an iterable without state_dict: it begins anew"):
        assert stop_and_resume(method, lambda: batches, tmp_path, CONFIG).step == 12


def test_a_state_that_no_checkpoint_can_hold_is_found_at_once(method, tiny_shapes, tmp_path):
    class Foreign(Counter):
        def state_dict(self):
            return {"next": np.random.default_rng()}

    with pytest.raises(
        TypeError, match=r"state_dict\(\) of the iterable \(Foreign\) holds more than tensors and plain"
    ):
        train.fit(method, Foreign(tiny_shapes.train.images), CONFIG, folder=tmp_path)
    assert not (tmp_path / checkpoint.FILE).exists()


# ---- bad input


def test_a_generator_is_read_only_once(method, tiny_shapes):
    few = (batch for batch in tiny_shapes.train.images.split(32)[:4])
    with pytest.raises(ValueError, match=r"The iterable \(generator\) has ended .*A generator can be read only once"):
        train.fit(method, few, CONFIG)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], r"The iterable \(list\) is empty; give at least one batch"),
        ([torch.randn(32, 3, 16, 16)], r"torch.float32 of shape \(32, 3, 16, 16\), from -.*not normalised"),
        ([torch.zeros(32, 16, 16, dtype=torch.uint8)], r"torch.uint8 of shape \(32, 16, 16\), from 0 to 0"),
        ([torch.zeros(32, 3, 16, 16, dtype=torch.int64)], "torch.int64"),
        ([torch.full((32, 3, 16, 16), float("nan"))], "Batch 1 is torch.float32 .*from nan to nan"),
        ([torch.zeros(0, 3, 16, 16)], r"Batch 1 is torch.float32 of shape \(0, 3, 16, 16\); expected"),
        (
            [torch.zeros(32, 16, 16, 3)],
            r"of shape \(32, 16, 16, 3\).*\(B, C, H, W\) with C = 1, 3 or 4",
        ),
        (
            [torch.zeros(32, 2, 16, 16)],
            r"of shape \(32, 2, 16, 16\), from 0 to 0; expected images .* with C = 1, 3 or 4, uint8",
        ),
        ([torch.zeros(16, 3, 16, 16, dtype=torch.uint8)], r"batch_size is 32, but .* 16 images .*Use batch_size=16\."),
    ],
)
def test_bad_streams_are_one_sentence(method, batches, message):
    with pytest.raises(ValueError, match=message):
        train.fit(method, batches, CONFIG)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.full((32, 3, 16, 16), float("nan")), "Batch 3 is torch.float32 .*from nan to nan; expected"),
        (torch.full((32, 3, 16, 16), float("inf")), "Batch 3 is .*from inf to inf"),
        (torch.full((32, 3, 16, 16), 255.0), "Batch 3 is .*from 255 to 255.*not normalised"),
        (torch.zeros(32, 3, 16, 16, dtype=torch.int64), "Batch 3 is torch.int64"),
        (
            torch.zeros(32, 3, 8, 8),
            r"Batch 3 is .*shape \(32, 3, 8, 8\), .*with \(C, H, W\) = \(3, 16, 16\) as in the first",
        ),
        (torch.zeros(32, 16, 16, 3), r"Batch 3 is .*shape \(32, 16, 16, 3\), .*with \(C, H, W\) = \(3, 16, 16\) as"),
        (torch.zeros(32, 3, 16), r"Batch 3 is .*shape \(32, 3, 16\)"),
    ],
)
def test_every_batch_is_looked_at(method, tiny_shapes, bad, message):
    """A pixel that is no number is bad data, and must not be called a training that diverged."""
    good = tiny_shapes.images[:32]
    with pytest.raises(ValueError, match=message):
        train.fit(method, [good, good / 255, bad], CONFIG)


def test_a_batch_on_a_device_is_not_waited_for(tiny_shapes):
    """The meta device has no pixels: reading one would raise."""
    far = torch.zeros(8, 3, 16, 16, device="meta")
    stream = iter(Stream([tiny_shapes.images[:8], far]))
    next(stream)
    assert next(stream)[0] is far


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ("shapes", r"data is 'shapes'; give .*datasets\.load"),
        (7, r"data is 7; give .*datasets\.load"),
        ([{"image": torch.zeros(32, 3, 16, 16)}], r"Batch 1 is a dict; give tensors \(B, C, H, W\) or pairs"),
        ([(torch.zeros(2, 3, 16, 16), ("cat", "dog"))], r"Batch 1 is a Tensor and a tuple; give .*nor strings"),
        ([(torch.zeros(2, 3, 16, 16), np.array(["cat", "dog"]))], "Batch 1 is a Tensor and a ndarray; give"),
        ([(torch.zeros(2, 3, 16, 16), None)], "Batch 1 is a Tensor and a NoneType; give"),
        ({"image": torch.zeros(32, 3, 16, 16)}, "Batch 1 is a str; give"),
        ([[]], "Batch 1 is a list of nothing; give"),
    ],
)
def test_what_is_no_batch_is_named_by_its_type(method, batches, message):
    with pytest.raises(TypeError, match=message):
        train.fit(method, batches, CONFIG)


def test_a_data_loader_of_dictionaries(method, tiny_shapes):
    rows = [{"image": x, "label": 0} for x in tiny_shapes.images[:64]]
    with pytest.raises(TypeError, match="Batch 1 is a dict; give tensors"):
        train.fit(method, DataLoader(rows, batch_size=32), CONFIG)
    with pytest.raises(TypeError, match="Batch 2 is a dict"):
        list(Stream([tiny_shapes.images[:32], rows[0]]))
