from PIL import Image

from services.cli.experiments.contact_sheet import Cell, Line, side_by_side, write_sheet


def test_a_sheet_holds_every_picture_in_rows_and_colours_what_is_right_and_wrong(tmp_path):
    blue, red = (Image.new("RGB", (40, 30), colour) for colour in ((0, 0, 255), (255, 0, 0)))
    lines = (Line("before: six", False), Line("after: seven", True))
    path = write_sheet(tmp_path / "a" / "b.png", "digits", [Cell(p, lines) for p in (blue, red)], 1)
    with Image.open(path) as opened:
        sheet = opened.convert("RGB")
    colours = {colour: count for count, colour in sheet.getcolors(1 << 16)}
    assert colours[(0, 0, 255)] == colours[(255, 0, 0)] == 40 * 30
    assert any(green > red + 40 and green > blue + 40 for red, green, blue in colours)
    assert any(red > green + 40 and 0 < blue < 100 for red, green, blue in colours)


def test_pictures_side_by_side_keep_their_sizes():
    row = side_by_side([Image.new("RGB", (10, 5), "red"), Image.new("RGB", (20, 5), "blue")], gap=3)
    assert row.size == (33, 5)
    assert row.getpixel((13, 0)) == (0, 0, 255)
