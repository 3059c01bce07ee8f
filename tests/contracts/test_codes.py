"""What is asked of every method whose latent space can be walked; a new one is found by itself."""

from typing import Any

import pytest
import torch

from distgan.codes import Decoding, Encoding
from distgan.config.run_config import config_from_tables
from distgan.method import Batch, Method, Sample, Step, build
from distgan.methods import load_method, method_names

CHANNELS, COUNT = 3, 4
CLASSES = ("few", "many")
NAMES = [name for name in method_names() if hasattr(load_method(name), "decoded")]

pytestmark = pytest.mark.parametrize("name", NAMES)


def built(name: str) -> Method:
    kind = load_method(name)
    keys = kind.Config.model_fields
    small: dict[str, Any] = {key: 4 for key in ("width", "critic_width") if key in keys}
    config = config_from_tables(
        {
            "run": {"name": "tiny", "images": 100, "batch_size": 4},
            "data": {"store": "none"},
            "method": {"name": name, **small},
            "evaluate": {"every_images": 100},
            "checkpoint": {"every_images": 100},
        },
        "the test",
    )
    classes = dict.fromkeys(config.method.columns, CLASSES)
    method = build(kind, config.method, Sample((CHANNELS, 64, 64), classes=classes), 0)
    return method.eval().requires_grad_(requires_grad=False)


def told(method: Method) -> Batch:
    images = torch.rand(COUNT, CHANNELS, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(images, {name: torch.arange(COUNT) % len(CLASSES) for name in method.sample.classes})


def test_codes_become_images_and_images_say_how_to_change_them(name: str) -> None:
    method = built(name)
    assert isinstance(method, Decoding)
    batch = told(method)
    if method.prior is None:
        assert isinstance(method, Encoding)
        codes = method.codes(batch)
    else:
        codes = method.prior.drawn(Step(batch, 0), "codes", COUNT)
        assert codes.shape == (COUNT, method.prior.size)
    images = method.decoded(codes.requires_grad_(), batch)
    assert images.shape == batch.images.shape
    assert images.abs().max() <= 1
    (slope,) = torch.autograd.grad(images[0].sum(), codes)
    assert slope[0].abs().sum() > 0
    assert not slope[1:].any(), "an image is made of its own code alone"


def test_the_code_of_an_image_does_not_depend_on_others(name: str) -> None:
    method = built(name)
    if not isinstance(method, Encoding):
        pytest.skip("it has no encoder")
    batch = told(method)
    codes = method.codes(batch)
    alone = Batch(batch.images[:1], {column: values[:1] for column, values in batch.columns.items()})
    torch.testing.assert_close(method.codes(alone), codes[:1])
    assert method.decoded(codes, batch).shape == batch.images.shape


def test_red_codes_alone_decide_the_first_channel(name: str) -> None:
    method = built(name)
    assert isinstance(method, Decoding)
    if method.prior is None or not method.prior.red:
        pytest.skip("its generator is not separable")
    batch, red = told(method), method.prior.red
    codes = method.prior.drawn(Step(batch, 0), "codes", COUNT)
    others = codes.clone()
    others[:, red:] = others[:, red:].flip(0)
    images, changed = method.decoded(codes, batch), method.decoded(others, batch)
    assert torch.equal(images[:, 0], changed[:, 0])
    assert not torch.equal(images[:, 1:], changed[:, 1:])
