"""Augmented images: each operation is what numpy and scipy say it is, its strengths come as often as they should, and
the same place of the stream has always the same."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage
from torch import Tensor

from distgan.config.sections import Augment
from distgan.data.augment import augmented, check_augment, moved, normal, random_bits
from storage.errors import RecipeError

FLIP, TURN, BOTH = Augment(flip=True), Augment(quarter_turns=True), Augment(flip=True, quarter_turns=True)


def marked(count: int, *shape: int) -> Tensor:
    return torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(1, *shape).repeat(count, *[1] * len(shape))


def ways(images: Tensor) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for image in images:
        key = image.contiguous().numpy().tobytes()
        found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.parametrize(("augment", "number"), [(Augment(), 1), (FLIP, 4), (TURN, 4), (BOTH, 8)])
@pytest.mark.parametrize("shape", [(2, 3, 3), (1, 2, 3, 3)])
def test_every_way_comes_equally_often(augment: Augment, number: int, shape: tuple[int, ...]) -> None:
    """Of 4,000 images; a count spreads by 59 at most (of two ways of eight, 22)."""
    found = ways(augmented(marked(4000, *shape), augment, 0, 0))
    assert len(found) == number
    assert all(abs(count - 4000 / number) < 120 for count in found.values())


def test_only_y_and_x_are_turned() -> None:
    volume = marked(64, 2, 3, 4, 4)
    for image in augmented(volume, BOTH, 0, 0):
        assert torch.equal(image.sort(dim=-1).values.sort(dim=-2).values.amin((-1, -2)), volume[0].amin((-1, -2)))


def test_a_place_in_the_stream_is_all_that_counts() -> None:
    images = torch.rand(40, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    whole = augmented(images, BOTH, 3, 1000)
    parts = [augmented(images[start : start + 8], BOTH, 3, 1000 + start) for start in range(0, 40, 8)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(augmented(images, BOTH, 3, 1040), whole)
    assert not torch.equal(augmented(images, BOTH, 4, 1000), whole)


def test_images_that_are_not_square_are_only_mirrored() -> None:
    assert (
        ways(augmented(marked(100, 1, 4, 6), FLIP, 0, 0)).keys()
        == ways(torch.stack([marked(1, 1, 4, 6)[0].flip(axes) for axes in ([], [-1], [-2], [-1, -2])])).keys()
    )
    check_augment(FLIP, (100, 1, 4, 6))
    check_augment(TURN, (100, 1, 6, 6))
    with pytest.raises(RecipeError, match=r"quarter_turns = true, and images of 4 x 6"):
        check_augment(TURN, (100, 1, 4, 6))


def test_the_bits_stay_the_same_from_version_to_version_and_are_fair() -> None:
    """SplitMix64 of 0 is known: 0xE220A8397B1DCDAF."""
    known = 0xE220A8397B1DCDAF
    assert int(random_bits(0, known, 1)[0]) == 0xE220A8397B1DCDAF  # the seed's own number cancels the position
    bits = random_bits(7, 2**40, 20_000)
    ones = [(bits >> np.uint64(place) & np.uint64(1)).mean() for place in range(4)]
    assert ones == pytest.approx([0.5] * 4, abs=0.02)
    assert len(np.unique(bits)) == 20_000


ALL = Augment(
    flip=True,
    quarter_turns=True,
    shift_px=3,
    blur_px=0.6,
    blur_probability=0.5,
    gamma=0.5,
    gain=0.3,
    offset=0.1,
    intensity_probability=0.7,
    noise=0.05,
    shot_noise=0.1,
)
EVERYTHING = [ALL, ALL.model_copy(update={"subpixel": True, "border": "black"})]


def pictures(count: int, *shape: int) -> Tensor:
    return 2 * torch.rand(count, *shape, generator=torch.Generator().manual_seed(0)) - 1


def channel_of(augment: Augment, image: NDArray[np.float32], count: int = 1, position: int = 0) -> NDArray[np.float32]:
    """What becomes of the first channel of an image H W at a place of the stream, repeated; count H W."""
    batch = torch.from_numpy(image).expand(count, 1, *image.shape)
    return augmented(batch, augment, 5, position).numpy()[:, 0]


@pytest.mark.parametrize("augment", EVERYTHING)
@pytest.mark.parametrize("shape", [(2, 7, 7), (1, 3, 7, 7), (3, 32, 32)])
def test_an_image_becomes_the_same_alone_and_in_any_batch(augment: Augment, shape: tuple[int, ...]) -> None:
    images = pictures(37, *shape)
    whole = augmented(images, augment, 3, 1000)
    for size in (1, 2, 5, 16):
        parts = [augmented(part, augment, 3, 1000 + size * n) for n, part in enumerate(images.split(size))]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("augment", EVERYTHING)
@pytest.mark.parametrize("shape", [(2, 16, 16), (2, 3, 16, 16)])
def test_images_stay_float32_in_their_range_and_those_given_stay_as_they_were(
    augment: Augment, shape: tuple[int, ...]
) -> None:
    images = pictures(50, *shape)
    before = images.clone()
    found = augmented(images, augment, 0, 0)
    assert torch.equal(images, before)
    assert found.dtype == torch.float32
    assert found.shape == images.shape
    assert found.min() >= -1
    assert found.max() <= 1
    assert (found != images).flatten(1).any(1).all()


def test_without_augmentation_every_bit_stays() -> None:
    images = pictures(8, 2, 6, 6)
    assert augmented(images, Augment(), 0, 0) is images
    never = {"blur_probability": 0, "intensity_probability": 0, "noise_probability": 0, "shift_probability": 0}
    assert torch.equal(
        augmented(images, ALL.model_copy(update=never | {"flip": False, "quarter_turns": False}), 0, 0), images
    )


@pytest.mark.parametrize(
    ("name", "key", "most"),
    [("shift", "shift_px", 9), ("blur", "blur_px", 5), ("intensity", "gain", 1), ("noise", "noise", 1)],
)
def test_as_many_images_are_changed_as_the_probability_says(name: str, key: str, most: float) -> None:
    """Of 4,000 images 1,200, with a standard deviation of 29; the weakest blurs, one of thirty, change nothing."""
    images = pictures(1, 1, 16, 16).expand(4000, -1, -1, -1)
    found = augmented(images, Augment(**{f"{name}_probability": 0.3, key: most}), 0, 0)
    assert int((found != images).flatten(1).any(1).sum()) == pytest.approx(1200, abs=100)


@pytest.mark.parametrize(("border", "mode"), [("reflect", "reflect"), ("black", "constant")])
def test_a_shift_is_that_of_a_padded_image(border: Any, mode: Any) -> None:
    """Every one of the 5 x 5 shifts comes, 40 times in 1,000 with a standard deviation of 6."""
    image = pictures(1, 6, 8)[0].numpy()
    padded = np.pad(image, 2, mode, **({"constant_values": -1} if mode == "constant" else {}))
    wanted = {padded[y : y + 6, x : x + 8].tobytes(): 0 for y in range(5) for x in range(5)}
    for found in channel_of(Augment(shift_px=2, border=border), image, 1000):
        wanted[np.ascontiguousarray(found).tobytes()] += 1
    assert len(wanted) == 25
    assert all(10 < count < 70 for count in wanted.values())


def test_a_subpixel_shift_is_linear_between_pixels() -> None:
    """Measured on a ramp, where a shift is a difference of brightness; compared on pixels that know no border."""
    augment = Augment(shift_px=2, subpixel=True)
    y, x = np.mgrid[:20, :20].astype(np.float32)
    image = pictures(1, 20, 20)[0].numpy()
    across, down = (y / 20 - channel_of(augment, y / 20, 50)) * 20, (x / 20 - channel_of(augment, x / 20, 50)) * 20
    found = channel_of(augment, image, 50)
    for number in range(50):
        shift = (across[number, 10, 10], down[number, 10, 10])
        wanted = ndimage.shift(image, shift, order=1)
        assert np.allclose(found[number, 4:-4, 4:-4], wanted[4:-4, 4:-4], atol=1e-4)
    assert np.abs(across[:, 10, 10]).max() == pytest.approx(1.9, abs=0.1)
    assert across[:, 10, 10].std() == pytest.approx(2 / 3**0.5, abs=0.3)


def test_a_blur_is_a_gaussian_of_a_width_that_is_drawn() -> None:
    """The width is measured on a point: the ratio of two neighbours is exp(-1 / 2 sigma^2)."""
    augment, image = Augment(blur_px=1.5), pictures(1, 17, 19)[0].numpy()
    point = np.zeros((17, 19), np.float32)
    point[8, 9] = 1
    answers, found = channel_of(augment, point, 200), channel_of(augment, image, 200)
    sigmas = (-0.5 / np.log(np.maximum(answers[:, 8, 10] / answers[:, 8, 9], 1e-30))) ** 0.5
    assert np.ptp(sigmas) > 1.2
    assert sigmas.max() == pytest.approx(1.45, abs=0.05)
    for sigma, one in zip(sigmas, found, strict=True):
        assert np.allclose(one, ndimage.gaussian_filter(image, sigma, mode="mirror", radius=5), atol=1e-5)


def test_gain_and_offset_are_lines_and_gamma_bends_between_black_and_white() -> None:
    ramp = np.linspace(0, 1, 101, dtype=np.float32)[None]
    images = 2 * ramp - 1

    def intensities(**keys: float) -> NDArray[np.float32]:
        return (channel_of(Augment(**keys), images, 500)[:, 0] + 1) / 2

    found = intensities(gain=0.2)
    gains = found[:, 50] / 0.5
    assert np.allclose(found, np.minimum(gains[:, None] * ramp, 1), atol=1e-6)
    assert (gains.min(), gains.max()) == pytest.approx((0.8, 1.2), abs=0.01)
    found = intensities(offset=0.1)
    offsets = found[:, 50] - 0.5
    assert np.allclose(found, np.clip(ramp + offsets[:, None], 0, 1), atol=1e-6)
    assert (offsets.min(), offsets.max()) == pytest.approx((-0.1, 0.1), abs=0.01)
    found = intensities(gamma=1)
    assert (found[:, [0, 100]] == [0, 1]).all()
    bends = np.where(found[:, 50] < 0.5, (found[:, 50] - 0.5) / 0.25, (found[:, 50] - 0.5) / (0.5**0.5 - 0.5))
    far = np.where(bends[:, None] < 0, ramp**2, ramp**0.5)
    assert np.allclose(found, ramp + np.abs(bends)[:, None] * (far - ramp), atol=1e-5)
    assert (bends.min(), bends.max()) == pytest.approx((-1, 1), abs=0.02)


def test_each_channel_is_drawn_by_itself_and_none_is_mixed() -> None:
    images = torch.stack([torch.full((400, 8, 8), value) for value in (0.2, -0.3)], 1)
    found = augmented(images, Augment(gain=0.3, blur_px=1), 0, 0)
    assert (found - found[..., :1, :1]).abs().max() < 1e-6  # a flat channel stays flat whatever the other one is
    gains = ((found[..., 0, 0] + 1) / (images[..., 0, 0] + 1)).T.numpy()
    assert abs(np.corrcoef(gains)[0, 1]) < 0.15


def test_noise_is_as_strong_as_drawn_and_shot_noise_grows_as_the_root_of_intensity() -> None:
    levels = np.array([-1.0, -0.5, 0.0, 0.5], np.float32)  # of intensity 0, 1/4, 1/2, 3/4
    images = np.repeat(levels, 16)[None].repeat(64, 0)
    read = channel_of(Augment(noise=0.05), images, 200) - images
    spread = read[:, :, 16:48].std((1, 2)) / 2  # black is cut
    assert (spread.min(), spread.max()) == pytest.approx((0, 0.05), abs=0.002)
    assert spread.mean() == pytest.approx(0.025, abs=0.003)
    apart = read[:, :, 16:48].reshape(200, -1)
    neighbours = (apart[1:] * apart[:-1]).mean(1) / (apart[1:].std(1) * apart[:-1].std(1))
    assert np.abs(neighbours).max() < 0.1  # of 2,048 pixels; its standard deviation is 0.02
    shot = (channel_of(Augment(shot_noise=0.05), images, 200) - images).reshape(200, 64, 4, 16)
    assert (shot[:, :, 0] == 0).all()
    deviations = shot.std((0, 1, 3))
    assert deviations[1:] / deviations[2] == pytest.approx([0.5**0.5, 1, 1.5**0.5], rel=0.03)


def test_normal_numbers_are_splitmix64_through_the_normal_distribution() -> None:
    def mixed(state: int) -> int:
        value = state & (2**64 - 1)
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
        value = (value ^ value >> 27) * 0x94D049BB133111EB & (2**64 - 1)
        return value ^ value >> 31

    keys = [0, 1, 2**63 + 12345]
    found = normal(np.array(keys, np.uint64), 10, torch.device("cpu"))
    for key, row in zip(keys, found, strict=True):
        words = [mixed(key + step * 0x9E3779B97F4A7C15) for step in (1, 2, 3)]
        parts = [(word >> 16 * place & 0xFFFF) ^ 0x8000 for word in words for place in range(4)]
        wanted = [NormalDist().inv_cdf((part + 0.5) / 2**16) for part in parts[:10]]
        assert row.tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_normal_numbers_are_normal_and_know_nothing_of_each_other() -> None:
    """A million of them; the limits are four standard deviations."""
    found = normal(random_bits(0, 0, 1000), 1000, torch.device("cpu")).numpy().astype(np.float64)
    assert abs(found.mean()) < 0.004
    assert (found**2).mean() == pytest.approx(1, abs=0.006)
    assert abs((found**3).mean()) < 0.016
    assert (found**4).mean() == pytest.approx(3, abs=0.04)
    assert abs((found[1:] * found[:-1]).mean()) < 0.004
    assert abs((found[:, 1:] * found[:, :-1]).mean()) < 0.004


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"shift_px": 8}, r"shift_px = 8, and images of 8 x 9.*Set augment.shift_px to 7 or less"),
        ({"blur_px": 2.5}, r"blur_px = 2.5, so 8 pixels to each side.*Set augment.blur_px to 2 or less"),
    ],
)
def test_what_is_wider_than_the_image_is_refused(keys: dict[str, Any], message: str) -> None:
    check_augment(Augment(shift_px=7, blur_px=7 / 3), (100, 1, 8, 9))
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        check_augment(Augment(**keys), (100, 1, 8, 9))


@pytest.mark.parametrize(
    "keys",
    [{"gain": 1.5}, {"offset": -0.1}, {"blur_px": 17}, {"noise": 2}, {"shift_px": 1.5}, {"blur_probability": 1.1}],
)
def test_strengths_have_ranges(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(keys))):
        Augment(**keys)


@pytest.mark.parametrize("border", ["reflect", "black"])
@pytest.mark.parametrize("subpixel", [False, True])
def test_label_images_go_where_their_images_go(border: str, *, subpixel: bool) -> None:
    augment = Augment(flip=True, quarter_turns=True, shift_px=5, subpixel=subpixel, border=border, noise=0.0)  # type: ignore[arg-type]
    labels = torch.zeros(40, 16, 16, dtype=torch.int64)
    labels[:, 4:9, 6:13] = 1 + torch.arange(40)[:, None, None]
    images = labels[:, None].float() / 20 - 1
    found = moved(labels, augment, 3, 77)
    assert found.dtype == torch.int64
    expected = augmented(images, augment, 3, 77)[:, 0]
    difference = (found / 20 - 1 - expected).abs()
    assert difference.amax() < 1e-6 if not subpixel else difference.mean() < 0.25 * (expected + 1).mean()
    assert not torch.equal(found, labels)
