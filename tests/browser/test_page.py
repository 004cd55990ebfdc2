"""The page in a real browser: services, a run as it goes, the box to try the model, both themes."""

import re

import pytest
from playwright.sync_api import Page, expect

from models.preprocessing.audio import encode_wav
from tests.browser.conftest import HOSTILE
from tests.support.clips import colours, gif
from tests.support.pictures import png
from tests.support.recordings import sine


def wait_for_curves(page: Page) -> None:
    page.wait_for_selector(".curve .main-svg", state="attached")


def test_five_services_are_shown_with_health_and_what_they_hold(open_page):
    page = open_page()
    expect(page.locator(".service.serving")).to_have_count(5)
    expect(page.locator("#health-summary")).to_have_text("5 of 5 serving")
    policy = page.locator('.service[data-service="policy"]')
    expect(policy).to_contain_text("base, stable")
    expect(policy.locator(".latency")).to_have_text(re.compile(r"[\d.]+ ms"))


def test_without_a_run_the_page_teaches_and_a_run_appears_by_itself(open_page, start_run):
    page = open_page()
    expect(page.locator("#runs-empty")).to_contain_text("attune run world_rl")
    start_run()
    expect(page.locator("#run-name")).to_have_text("a-short-run")
    expect(page.locator("#runs-empty")).to_be_hidden()
    expect(page.locator("#run-state")).to_have_text("succeeded", timeout=60_000)
    wait_for_curves(page)


def test_a_run_shows_curves_samples_log_and_recipe(open_page, finished_run):
    page = open_page()
    wait_for_curves(page)
    expect(page.locator("#run-step")).to_have_text("step 3 of 3")
    expect(page.locator('.curve[data-panel="Reward"] .latest')).to_have_text("0")
    expect(page.locator('.curve[data-panel="Seconds by phase"] .legend')).to_contain_text("rollout")
    expect(page.locator(".frame")).to_have_count(12)
    drawn = page.locator(".frame img").first
    assert drawn.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    assert drawn.evaluate("image => image.naturalWidth") == 32
    page.locator("details.log summary").first.click()
    expect(page.locator("#run-log")).to_contain_text("published policy-")
    page.locator("#recipe summary").click()
    expect(page.locator("#recipe pre")).to_contain_text("a-short-run")


def test_recordings_play_and_clips_move(open_page, finished_run):
    page = open_page()
    frame = page.locator('.frame:has-text("which way does it go?")').first
    recording = frame.locator("audio")
    expect(recording).to_have_js_property("duration", 1.5)
    has_moved_on = recording.evaluate("""async (audio) => {
        const movedOn = new Promise((resolve) => {
            audio.ontimeupdate = () => audio.currentTime > 0 && resolve(true);
        });
        audio.muted = true;
        await audio.play();
        return movedOn;
    }""")
    assert has_moved_on
    clip = frame.locator("img")
    assert clip.evaluate("image => image.src.startsWith('data:image/gif')")
    assert clip.evaluate("image => image.naturalWidth") == 32
    recording.focus()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == (
        "The recording of the prompt"
    )


def test_hostile_text_is_shown_and_never_run(open_page, finished_run):
    page = open_page()
    wait_for_curves(page)
    expect(page.locator(".frame .prompt", has_text=HOSTILE)).to_have_count(3)
    expect(page.locator(".strip h5", has_text=HOSTILE)).to_have_count(1)
    page.fill("#try-text", HOSTILE)
    page.click("#try-send")
    page.wait_for_selector(".judge")
    page.locator(".curve .main-svg").first.hover()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script, main [onerror]").count() == 0


def test_a_question_about_a_picture_is_answered_and_judged(open_page):
    page = open_page()
    page.fill("#try-text", "describe the picture.")
    picture = {"name": "picture.png", "mimeType": "image/png", "buffer": png()}
    page.set_input_files("#try-file", files=[picture])
    expect(page.locator("#try-media img")).to_be_visible()
    page.click("#try-send")
    expect(page.locator("#try-answer .source")).to_have_text(re.compile(r"stable \(\w{8}\) · \d+"))
    page.click('.judge button[data-value="up"]')
    expect(page.locator(".judge [role=status]")).to_have_text("stored")
    expect(page.locator('.judge button[data-value="up"]')).to_have_attribute("aria-pressed", "true")


def test_a_recording_and_a_clip_are_attached_played_and_sent(open_page):
    page = open_page()
    recording = {"name": "a.wav", "mimeType": "audio/wav", "buffer": encode_wav(sine(), 16_000)}
    clip = {"name": "a.gif", "mimeType": "image/gif", "buffer": gif(colours(3))}
    for file, shown in ((recording, "audio"), (clip, "img")):
        page.set_input_files("#try-file", files=[file])
        expect(page.locator(f"#try-media {shown}")).to_be_visible()
    with page.expect_request("**/v1/chat/completions") as sent:
        page.click("#try-send")  # a recording asks by itself: no words are needed
    [message] = sent.value.post_data_json["messages"]
    assert [part["type"] for part in message["content"]] == ["audio_url", "video_url"]
    expect(page.locator("#try-answer .source")).to_have_text(re.compile(r"stable"))
    page.get_by_role("button", name="Remove the recording").click()
    expect(page.locator("#try-media li")).to_have_count(1)


def test_an_example_fills_the_form_and_pictures_are_drawn(open_page):
    page = open_page()
    page.locator("#examples button").nth(2).click()
    expect(page.locator('input[value="image"]')).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator(".drawn img")).to_have_count(4)


def test_a_refused_request_says_why(open_page):
    page = open_page(expected="status of 400")
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": png()[:40]}
    page.set_input_files("#try-file", files=[broken])
    page.fill("#try-text", "what is it?")
    with page.expect_response("**/v1/chat/completions") as refused:
        page.click("#try-send")
    assert refused.value.status == 400
    expect(page.locator("#try-answer .problem")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_is_legible(open_page, finished_run, screenshots, width, scheme):
    page = open_page(width, scheme)
    wait_for_curves(page)
    page.locator("#examples button").nth(2).click()
    page.click("#try-send")
    page.wait_for_selector(".drawn img")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=screenshots / f"home-{width}-{scheme}.png", full_page=True)
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert _contrast(ink, paper) > 7


def _contrast(*colors: str) -> float:
    """The ratio of WCAG 2."""

    def luminance(color: str) -> float:
        shares = [int(n) / 255 for n in re.findall(r"\d+", color)[:3]]
        red, green, blue = (
            s / 12.92 if s <= 0.04 else ((s + 0.055) / 1.055) ** 2.4 for s in shares
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted(luminance(color) for color in colors)
    return (light + 0.05) / (dark + 0.05)
