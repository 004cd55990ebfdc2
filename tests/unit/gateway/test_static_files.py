"""The page's own files: light, and without a way for text to become markup."""

import re
from pathlib import Path

import services.gateway.web
from services.gateway.web.plotly_bundle import load_plotly

_WEB = Path(services.gateway.web.__file__).parent
_FILES = [p for p in _WEB.rglob("*") if p.suffix in (".js", ".css", ".html", ".svg")]


def test_no_script_turns_text_into_markup_or_code():
    unsafe = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    )
    scripts = [p for p in _FILES if p.suffix == ".js"]
    assert len(scripts) > 5
    assert [p.name for p in scripts if unsafe.search(p.read_text())] == []


def test_no_page_has_inline_script_or_style():
    inline = re.compile(
        r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style|https?://(?!www\.w3\.org)"
    )
    pages = [p for p in _FILES if p.suffix == ".html"]
    assert pages
    assert [p.name for p in pages if inline.search(p.read_text())] == []


def test_the_page_without_plotly_is_light():
    assert sum(p.stat().st_size for p in _FILES) < 100_000


def test_plotlys_sheet_of_map_styles_is_known_by_its_id():
    bundle = load_plotly()
    assert bundle.map_style_id is not None
    assert len(bundle.gzipped()) < bundle.path.stat().st_size / 2
