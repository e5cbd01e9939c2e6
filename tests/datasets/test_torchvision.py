"""torchvision's sets: converted once, mapped ever after, and a clear word when there is no network."""

import numpy as np
import pytest
import torch
from PIL import Image

from sslkit.datasets import load
from sslkit.datasets._torchvision import SETS


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class FakeCIFAR:
    """As torchvision.datasets.CIFAR10 looks from outside: 80 training and 20 test pictures, the label in the red."""

    classes = ("plane", "car", "bird", "cat")
    built = 0

    def __init__(self, root, train, download):
        assert download
        FakeCIFAR.built += 1
        self.n = 80 if train else 20
        self.blue = 0 if train else 255

    def __getitem__(self, i):
        if i >= self.n:
            raise IndexError
        return Image.new("RGB", (32, 32), (i % 4, i, self.blue)), i % 4


def test_a_set_is_converted_once_and_split_officially(monkeypatch):
    monkeypatch.setattr("torchvision.datasets.CIFAR10", FakeCIFAR)
    FakeCIFAR.built = 0
    data = load("cifar10")
    assert FakeCIFAR.built == 2
    assert data.name == "cifar10"
    assert data.names == FakeCIFAR.classes
    assert data.shape == (3, 32, 32)
    assert [len(part) for part in (data.train, data.val, data.test)] == [70, 10, 20]
    assert torch.equal(data.images[:, 0, 0, 0].long(), data.labels)
    assert torch.equal(data.images[:, 2, 5, 5] == 255, data.split == 2)
    assert sorted(data.train.images[:, 1, 0, 0].tolist() + data.val.images[:, 1, 0, 0].tolist()) == list(range(80))
    assert data.train.images.data_ptr() == data.images.data_ptr()  # mapped, in the order of its split
    assert load("cifar10").fingerprint() == data.fingerprint()
    assert FakeCIFAR.built == 2
    assert load("cifar10", size=16).shape == (3, 16, 16)
    assert torch.equal(load("cifar10", seed=1).test.images, data.test.images)


def test_a_set_without_a_test_part_gets_one(monkeypatch):
    class FakeEuroSAT(FakeCIFAR):
        def __init__(self, root, download):
            super().__init__(root, True, download)

    monkeypatch.setattr("torchvision.datasets.EuroSAT", FakeEuroSAT)
    data = load("eurosat")
    assert data.shape == (3, 64, 64)
    assert [len(part) for part in (data.train, data.val, data.test)] == [60, 10, 10]


def test_files_that_are_already_there_need_no_network(tmp_path):
    """The real torchvision.datasets.FashionMNIST, on files as Debian's package has them."""
    raw = tmp_path / "mine" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    labels = (np.arange(40) % 10).astype(np.uint8)
    for prefix in ("train", "t10k"):
        head = bytes([0, 0, 8, 3]) + np.array(images.shape, ">i4").tobytes()
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = bytes([0, 0, 8, 1]) + np.array(labels.shape, ">i4").tobytes()
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    data = load("fashion_mnist", root=tmp_path / "mine")
    assert data.images.shape == (80, 1, 28, 28)
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(images))
    assert data.test.labels.tolist() == labels.tolist()


def test_without_a_network_it_says_what_works(cache):
    with pytest.raises(
        OSError, match=r"cifar10 cannot be downloaded .*Without a network: shapes, emoji, fashion, digits"
    ):
        load("cifar10")  # conftest.py has cut the network
    assert [folder.name for folder in cache.iterdir() if folder.name != "downloads"] == []


def test_a_damaged_download_is_reported_and_not_kept(monkeypatch, cache):
    def damaged(*args, **kwargs):
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr("torchvision.datasets.SVHN", damaged)
    with pytest.raises(OSError, match=r"svhn cannot be downloaded \(File not found or corrupted"):
        load("svhn")
    assert list(cache.iterdir()) == []


def test_every_name_is_a_class_of_torchvision_with_these_arguments():
    import inspect

    import torchvision

    for name, (kind, parts, size) in SETS.items():
        parameters = inspect.signature(getattr(torchvision.datasets, kind)).parameters
        assert all({"root", "download", *options} <= set(parameters) for options in parts), name
        assert size >= 28
