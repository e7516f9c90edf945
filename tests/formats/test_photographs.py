"""Photographs are read as one slice, or refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_hybridseg.formats import FormatError, is_photograph, read_image
from napari_hybridseg.formats.photograph import NO_MILLIMETRES

COLOURS = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)


def save(path: Path, array: np.ndarray = COLOURS, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def test_a_colour_png_is_three_channels_of_one_slice(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "polyp.png"))
    assert np.array_equal(image.array, np.moveaxis(COLOURS, -1, 0)[:, None])
    assert image.channel_axis.kind == "colours"
    assert image.geometry.size == (60, 50, 1)
    assert image.geometry.spacing == (1, 1, 1)
    assert "no millimetres" in image.notes[0]


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".JPG"])
def test_a_jpeg_is_as_its_decoder_has_it(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"x{ending}", format="JPEG", quality=95)
    array = read_image(path).array
    with Image.open(path) as decoded:
        assert np.array_equal(array[:, 0], np.moveaxis(np.array(decoded), -1, 0))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey_values_keep_their_numbers(tmp_path: Path, kind: type) -> None:
    grey = (np.arange(3000).reshape(50, 60) % 65_000).astype(kind)
    array = read_image(save(tmp_path / "x.png", grey)).array
    assert array.dtype == kind
    assert np.array_equal(array, grey[None, None])


def test_a_mask_of_black_and_white_has_two_values(tmp_path: Path) -> None:
    mask = COLOURS[..., 0] > 128
    array = read_image(save(tmp_path / "x.png", mask)).array
    assert np.array_equal(array[0, 0], mask * np.uint8(255))


def test_opacity_is_left_out_and_said(tmp_path: Path) -> None:
    with_opacity = np.concatenate([COLOURS, COLOURS[..., :1]], axis=-1)
    image = read_image(save(tmp_path / "x.png", with_opacity))
    assert np.array_equal(image.array[:, 0], np.moveaxis(COLOURS, -1, 0))
    assert "Its opacity was left out." in image.notes


def test_colours_of_a_palette_are_looked_up(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).convert("P").save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as stored:
        expected = np.array(stored.convert("RGB"))
    assert np.array_equal(read_image(tmp_path / "x.png").array[:, 0], np.moveaxis(expected, -1, 0))


def palette_mask(path: Path, background: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Save label numbers with a palette of colours, as DAVIS and Pascal VOC have them."""
    numbers = (np.arange(3000).reshape(50, 60) // 1000).astype(np.uint8)
    mask = Image.fromarray(numbers)
    mask.putpalette([*background, 128, 0, 0, 0, 128, 0])
    assert mask.mode == "P"
    mask.save(path)
    return numbers


def test_a_palettes_numbers_are_read_where_labels_are_wanted(tmp_path: Path) -> None:
    numbers = palette_mask(tmp_path / "x.png")
    image = read_image(tmp_path / "x.png", as_labels=True)
    assert np.array_equal(image.array, numbers[None, None])
    assert image.channel_axis.kind == "unstated"
    assert image.notes == (NO_MILLIMETRES,)
    coloured = read_image(tmp_path / "x.png")
    assert len(coloured.array) == 3
    assert any("its numbers are read" in note for note in coloured.notes)


def test_a_palettes_background_that_is_not_black_is_said(tmp_path: Path) -> None:
    palette_mask(tmp_path / "x.png", (255, 255, 255))
    notes = read_image(tmp_path / "x.png", as_labels=True).notes
    assert "Number 0 of its palette is background" in notes[-1]
    assert "(255, 255, 255) and not black" in notes[-1]


def test_single_bits_are_labels_0_and_1(tmp_path: Path) -> None:
    mask = COLOURS[..., 0] > 128
    array = read_image(save(tmp_path / "x.png", mask), as_labels=True).array
    assert np.array_equal(array[0, 0], mask)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_black_and_white_is_0_and_255(tmp_path: Path, ending: str, channels: int) -> None:
    y, x = np.ogrid[:50, :60]
    mask = ((y - 20) ** 2 + (x - 30) ** 2 < 200) * np.uint8(255)
    saved = mask if channels == 1 else np.repeat(mask[..., None], 3, axis=-1)
    image = read_image(save(tmp_path / f"x.{ending}", saved), as_labels=True)
    assert np.array_equal(image.array, mask[None, None])
    rounded = any("was rounded to black and white" in note for note in image.notes)
    assert rounded == (ending == "jpg")


def test_an_empty_jpeg_mask_is_empty(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "x.jpg", np.zeros((50, 60), np.uint8)), as_labels=True)
    assert image.array.shape == (1, 1, 50, 60)
    assert not image.array.any()


@pytest.mark.parametrize("kind", ["labels 0 to 2", "greys", "colours"])
def test_other_jpegs_are_no_label_maps(tmp_path: Path, kind: str) -> None:
    numbers = np.arange(3000).reshape(50, 60)
    array = {
        "labels 0 to 2": (numbers // 1000).astype(np.uint8),
        "greys": (numbers * 255 // 3000).astype(np.uint8),
        "colours": COLOURS,
    }[kind]
    with pytest.raises(FormatError, match="save the label map as PNG") as caught:
        read_image(save(tmp_path / "x.jpg", array), as_labels=True)
    assert str(tmp_path / "x.jpg") in str(caught.value)


def test_colours_of_a_png_stay_three_channels(tmp_path: Path) -> None:
    assert len(read_image(save(tmp_path / "x.png"), as_labels=True).array) == 3


def test_a_turned_camera_is_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read_image(save(tmp_path / "x.jpg", exif=exif))
    assert image.geometry.size == (60, 50, 1)
    assert any("read as stored" in note for note in image.notes)


def damaged(tmp_path: Path, how: str) -> Path:
    path = save(tmp_path / ("x.png" if "png" in how else "x.jpg"))
    content = bytearray(path.read_bytes())
    if how.startswith("half"):
        content = content[: len(content) // 2]
    elif how == "a byte of a png":
        content[len(content) // 2] ^= 5
    elif how == "another kind of png":
        content = bytearray(b"GIF89a" + bytes(100))
    elif how == "no jpg":
        content = bytearray(b"hello " * 20)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("half a png", "is damaged: image file is truncated"),
        ("half a jpg", "is damaged: image file is truncated"),
        ("a byte of a png", "is damaged"),
        ("another kind of png", "is not a PNG or JPEG file"),
        ("no jpg", "is not a PNG or JPEG file"),
    ],
)
def test_a_damaged_photograph_gets_one_sentence(tmp_path: Path, how: str, said: str) -> None:
    path = damaged(tmp_path, how)
    with pytest.raises(FormatError, match=said) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_damaged_byte_opens_or_gets_a_sentence(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for whole in (save(tmp_path / "x.png"), save(tmp_path / "x.jpg")):
        content = whole.read_bytes()
        for place in (*range(40), *random.integers(0, len(content), 60)):
            flipped = bytearray(content)
            flipped[place] ^= int(random.integers(1, 256))
            whole.write_bytes(flipped)
            try:
                assert read_image(whole).array.ndim == 4
            except FormatError as error:
                assert str(whole) in str(error)  # noqa: PT017


def test_an_animation_is_refused(tmp_path: Path) -> None:
    first, *others = (Image.fromarray(np.roll(COLOURS, n)) for n in range(3))
    first.save(tmp_path / "x.png", save_all=True, append_images=others)
    with pytest.raises(FormatError, match="is an animation; save the picture"):
        read_image(tmp_path / "x.png")


def test_a_vast_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(FormatError, match="more pixels than a photograph"):
        read_image(save(tmp_path / "x.png"))


def test_photographs_are_told_by_their_names() -> None:
    assert is_photograph("a/b.PNG")
    assert not is_photograph("a/b.nii.gz")
    assert not is_photograph(".png")
