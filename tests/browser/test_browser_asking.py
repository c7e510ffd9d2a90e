"""Asking with words, pictures, drawings, sounds, rows and numbers, alone and together."""

import io

import numpy as np
import pytest
from fake_server import FakeServer, serving
from fake_things import THINGS, picture_of
from PIL import Image

from manymodal.demo.drawing import DRAWINGS, draw

GREEN = next(thing for thing in THINGS.values() if thing["colour"] == "green")


def titles(visit, count=3):
    return [visit.tiles().nth(place).locator("h3").inner_text() for place in range(count)]


def test_words_find_pictures_and_say_how_long_it_took(visit):
    asked, files = visit.say("blue star")
    assert asked["query"] == [{"modality": "caption", "weight": 1, "values": ["blue star"]}]
    assert (asked["target"], files) == ("photo", {})
    assert all(title.startswith("Blue star") for title in titles(visit))
    assert visit.tiles().first.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 240
    status = visit.page.get_by_role("status").filter(has_text="nearest").inner_text()
    assert status == "24 nearest by photo · 3.2 ms · 60 items · exact"


def test_typing_alone_searches_once_it_rests(visit):
    box = visit.page.get_by_role("textbox", name="caption")
    visit.searched(lambda: box.press_sequentially("red circle", delay=15))
    assert [asked["query"][0]["values"] for asked, _ in visit.searches] == [["red circle"]]


def test_the_newest_search_is_the_one_that_is_shown(visit):
    box = visit.page.get_by_role("textbox", name="caption")
    box.fill("slow grey square")
    box.press("Enter")  # the server takes its time over this one
    visit.say("yellow star")
    visit.page.wait_for_timeout(900)
    assert titles(visit, 1)[0].startswith("Yellow star")


def test_an_uploaded_picture_is_asked_with(visit):
    card = visit.add("photo")
    chosen = {"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": picture_of(GREEN)}
    asked, files = visit.searched(lambda: card.locator("input[type=file]").first.set_input_files(chosen))
    assert asked["query"] == [{"modality": "photo", "weight": 1, "values": [{"file": "file0"}]}]
    assert files == {"file0": chosen["buffer"]}
    assert all(title.startswith("Green square") for title in titles(visit))
    assert "cannot carry it" in card.inner_text()


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_pasted_or_dropped_anywhere_makes_its_own_card(visit, way):
    send = """([way, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "mine.jpg", { type: "image/jpeg" }));
        const event = way === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
            : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector("h1").dispatchEvent(event);
    }"""
    _, files = visit.searched(lambda: visit.page.evaluate(send, [way, list(picture_of(GREEN))]))
    assert files == {"file0": picture_of(GREEN)}
    assert titles(visit, 1)[0].startswith("Green square")


def test_a_file_of_another_kind_is_refused_in_words(visit):
    send = """() => {
        const data = new DataTransfer();
        data.items.add(new File(["x"], "notes.pdf", { type: "application/pdf" }));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    visit.page.evaluate(send)
    assert "notes.pdf" in visit.page.locator("#trouble").inner_text()


@pytest.mark.parametrize("shape", ["triangle", "arrow", "smile"])
def test_a_drawing_is_framed_as_the_glyph_collection_frames_its_pictures(visit, shape):
    strokes = [way.tolist() for way in DRAWINGS[shape]]
    paint = """async (ways) => {
        const { PENS, toPicture } = await import("./page/ink.js");
        const strokes = ways.map((points) => ({ points, width: PENS.medium, erase: false }));
        return [...new Uint8Array(await (await toPicture(strokes, { trim: true })).arrayBuffer())];
    }"""
    png = bytes(visit.page.evaluate(paint, strokes))
    own = np.asarray(Image.open(io.BytesIO(png)).convert("L").resize((48, 48), Image.Resampling.BOX), dtype=float)
    house = np.asarray(Image.open(io.BytesIO(draw(strokes))), dtype=float)
    assert np.abs(own - house).mean() < 4  # of 255: the edges' smoothing, not another frame or pen (then 20 and more)


def test_drawing_with_a_pen_asks_with_it(visit):
    card = visit.add("photo")
    card.get_by_role("button", name="Draw").click()
    box = card.locator("canvas.sheet").bounding_box()
    at = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])  # noqa: E731

    def stroke(*points):
        visit.page.mouse.move(*at(*points[0]))
        visit.page.mouse.down()
        for point in points[1:]:
            visit.page.mouse.move(*at(*point), steps=5)
        visit.page.mouse.up()

    _, files = visit.searched(lambda: stroke((0.2, 0.2), (0.4, 0.2)))
    picture = np.asarray(Image.open(io.BytesIO(files["file0"])).convert("L"))
    rows, columns = np.nonzero(picture < 128)
    assert np.ptp(columns) > 0.6 * picture.shape[1]  # the short line fills the picture: it was trimmed
    assert np.ptp(rows) < 0.1 * picture.shape[0]
    _, files = visit.searched(lambda: card.get_by_label("trim to the drawing").uncheck())
    assert np.ptp(np.nonzero(np.asarray(Image.open(io.BytesIO(files["file0"])).convert("L")) < 128)[1]) < 0.35 * 192
    _, files = visit.searched(lambda: card.get_by_label("white on black").check())
    assert np.asarray(Image.open(io.BytesIO(files["file0"])).convert("L"))[0, 0] == 0
    card.get_by_role("button", name="Undo").click()
    visit.page.wait_for_selector("text=A few of the items")  # nothing is drawn: nothing is asked


def test_drawing_by_keyboard(visit):
    card = visit.add("photo")
    card.get_by_role("button", name="Draw").press("Enter")
    keys = [" ", *["Shift+ArrowRight"] * 3, " "]
    _, files = visit.searched(lambda: [visit.page.keyboard.press(key) for key in keys])
    rows, columns = np.nonzero(np.asarray(Image.open(io.BytesIO(files["file0"])).convert("L")) < 128)
    assert np.ptp(columns) > 4 * np.ptp(rows)


def test_where_pictures_are_drawings_the_page_starts_with_a_canvas(context):
    with serving(FakeServer(drawings=True).app) as url:
        context.new_page().goto(url)
        page = context.pages[0]
        page.locator("canvas.sheet").wait_for(timeout=5000)
        assert page.locator(".card h3").all_inner_texts() == ["caption", "photo"]


def test_a_recording_is_sent_as_wav(visit):
    card = visit.add("sound")
    card.get_by_role("button", name="Record").click()
    visit.page.wait_for_timeout(1400)  # the pretended microphone beeps once a second
    asked, files = visit.searched(lambda: card.get_by_role("button", name="Stop").click())
    assert asked["query"][0]["modality"] == "sound"
    import soundfile

    sound, rate = soundfile.read(io.BytesIO(files["file0"]))
    assert sound.ndim == 1
    assert 0.2 < len(sound) / rate < 5
    assert np.abs(sound).max() > 0.01


def test_wav_holds_the_samples(visit):
    make = """async (samples) => {
        const { encode } = await import("./page/wav.js");
        return [...new Uint8Array(await encode({ samples: Float32Array.from(samples), rate: 8000 }).arrayBuffer())];
    }"""
    import soundfile

    sound, rate = soundfile.read(io.BytesIO(bytes(visit.page.evaluate(make, [0, 0.5, -1, 2]))))
    assert rate == 8000
    assert np.allclose(sound, [0, 0.5, -1, 1], atol=1e-3)


def test_a_row_is_asked_with_in_the_types_of_its_cells(visit):
    card = visit.add("facts")
    card.get_by_label("weight", exact=True).fill("2.5")
    card.get_by_label("material").select_option("clay")
    card.get_by_label("signed").select_option(label="no")
    asked, _ = visit.searched(lambda: card.get_by_label("made").fill("2020-02-03"))
    assert asked["query"][0]["values"] == [{"weight": 2.5, "material": "clay", "signed": False, "made": "2020-02-03"}]
    asked, _ = visit.searched(lambda: card.get_by_label("material").select_option(label="any"))
    assert "material" not in asked["query"][0]["values"][0]


def test_numbers_are_pasted_and_wrong_ones_are_named(visit):
    card = visit.add("trait")
    box = card.get_by_role("textbox")
    box.fill("1, 2, 3")
    assert card.get_by_role("alert").inner_text() == "These are 3 numbers; this modality takes 4."
    asked, _ = visit.searched(lambda: box.fill("1, -2.5\n3e1 4"))
    assert asked["query"][0]["values"] == [[1, -2.5, 30, 4]]
    assert card.locator(".trouble").text_content() == ""


def test_a_series_of_pen_positions_is_drawn(visit):
    card = visit.add("outline")
    card.locator("canvas.sheet").focus()
    for keys in ([" ", *["Shift+ArrowRight"] * 3, " "], ["ArrowDown", " ", *["Shift+ArrowLeft"] * 3, " "]):
        asked, _ = visit.searched(lambda keys=keys: [visit.page.keyboard.press(key) for key in keys])
    rows = np.array(asked["query"][0]["values"][0])
    assert rows.shape[1] == 3
    assert 50 <= len(rows) <= 64
    assert (rows[:, 2] == 0).sum() == 2  # the pen was put down twice
    assert rows[:, :2].min() > 0
    assert rows[:, :2].max() < 1


def test_parts_together_with_weights(visit):
    visit.say("star")
    card = visit.add("species")
    card.get_by_role("textbox").fill("blue")
    slider = card.get_by_role("slider")
    asked, _ = visit.searched(lambda: (slider.focus(), [slider.press("ArrowRight") for _ in range(3)]))
    assert [(part["modality"], part["weight"]) for part in asked["query"]] == [("caption", 1), ("species", 1.3)]
    assert titles(visit, 1)[0].startswith("Blue star")
    assert visit.tiles().first.locator(".why dt").all_inner_texts() == ["caption", "species"]
    widths = (
        visit.tiles()
        .first.locator(".bar > span")
        .evaluate_all("bars => bars.map((bar) => bar.getBoundingClientRect().width)")
    )
    assert all(width > 10 for width in widths)
    asked, _ = visit.searched(lambda: slider.fill("0"))
    assert [part["modality"] for part in asked["query"]] == ["caption"]
    assert "off" in card.inner_text()


def test_minus(visit):
    visit.say("star")
    card = visit.add("caption")
    card.get_by_role("textbox").fill("blue")
    asked, _ = visit.searched(lambda: card.get_by_role("button", name="without this caption").click())
    assert [part["weight"] for part in asked["query"]] == [1, -0.5]
    assert not any("Blue" in title for title in titles(visit, 12))
    assert card.get_by_role("button", name="without this caption").get_attribute("aria-pressed") == "true"
    asked, _ = visit.searched(lambda: card.get_by_role("button", name="without this caption").click())
    assert asked["query"] == [{"modality": "caption", "weight": 1, "values": ["star", "blue"]}]


def test_two_cards_of_one_modality_are_one_part_with_one_weight(visit):
    visit.say("star")
    card = visit.add("caption")
    asked, _ = visit.searched(lambda: card.get_by_role("textbox").fill("blue"))
    assert asked["query"] == [{"modality": "caption", "weight": 1, "values": ["star", "blue"]}]
    assert card.get_by_role("slider").count() == 0
    assert card.get_by_text("Counts together").is_visible()
    asked, _ = visit.searched(lambda: card.get_by_role("button", name="without this caption").click())
    assert [part["weight"] for part in asked["query"]] == [1, -0.5]
    assert card.get_by_role("slider").is_visible()


def test_options_reach_the_server(visit):
    visit.say("star")
    visit.page.locator("#options > summary").click()
    visit.searched(lambda: visit.page.get_by_label("balance the parts").uncheck())
    visit.searched(lambda: visit.page.get_by_label("near everything").select_option("csls"))
    asked, _ = visit.searched(lambda: visit.page.get_by_label("Several parts are").select_option("rank"))
    assert (asked["calibrated"], asked["correct"], asked["fusion"]) == (False, "csls", "rank")
