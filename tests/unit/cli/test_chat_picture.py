import io

from PIL import Image

from services.cli.chat.picture import picture_text, save_picture


def _png(width: int, height: int, color: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def test_two_rows_of_pixels_make_one_line_of_characters():
    lines = picture_text(_png(32, 32, (225, 45, 45))).plain.splitlines()
    assert len(lines) == 16
    assert {len(line) for line in lines} == {32}


def test_the_upper_pixel_is_the_character_and_the_lower_its_background():
    picture = Image.new("RGB", (1, 2))
    picture.putpixel((0, 0), (255, 0, 0))
    picture.putpixel((0, 1), (0, 0, 255))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    style = picture_text(buffer.getvalue()).spans[0].style
    assert style.color.triplet == (255, 0, 0)
    assert style.bgcolor.triplet == (0, 0, 255)


def test_a_wide_picture_is_shrunk_to_fit():
    lines = picture_text(_png(400, 100, (1, 2, 3))).plain.splitlines()
    assert {len(line) for line in lines} == {48}
    assert len(lines) == 6


def test_a_drawn_picture_is_kept(tmp_path):
    data = _png(4, 4, (0, 0, 0))
    assert save_picture(data, tmp_path / "chat", "a").read_bytes() == data
