"""What is found: its kinds, items opened and asked with, filters, links, keys, and what goes wrong."""

import json
from urllib.parse import unquote

import pytest
from fake_server import FakeServer, serving
from fake_things import THINGS
from visits import Visit


def names(visit, count):
    return [visit.tiles().nth(place).get_attribute("data-id") for place in range(count)]


def test_more_like_this_leaves_the_item_itself_out_and_can_be_refined(visit):
    asked, _ = visit.searched(lambda: visit.tiles().nth(2).get_by_role("button", name="More like").click())
    assert asked["query"] == [{"modality": "photo", "weight": 1, "items": ["2"]}]
    assert asked["k"] == 25  # one more than are shown
    assert "2" not in names(visit, 24)
    assert THINGS[names(visit, 1)[0]]["shape"] == THINGS["2"]["shape"]
    card = visit.page.locator(".card").first
    asked, _ = visit.searched(lambda: card.get_by_label("by its").select_option("caption"))
    assert asked["query"][0]["modality"] == "caption"
    asked, _ = visit.searched(lambda: visit.tiles().first.get_by_role("button", name="Less like").click())
    assert [part["weight"] for part in asked["query"]] == [1, -0.5]
    asked, _ = visit.say("but red")
    assert asked["query"][0] == {"modality": "caption", "weight": 1, "items": ["2"], "values": ["but red"]}


@pytest.mark.parametrize(
    ("target", "shows"),
    [
        ("photo", "img"),
        ("caption", ".words"),
        ("sound", "audio"),
        ("facts", ".words"),
        ("item", "img"),
        ("species", ".words"),
    ],
)
def test_each_kind_of_target_has_its_grid(visit, target, shows):
    visit.say("blue star")
    if target != "photo":
        asked, _ = visit.searched(lambda: visit.page.get_by_label("Find by").select_option(target))
        assert asked["target"] == target
    face = visit.tiles().first.locator(f".face {shows}").first
    face.wait_for()
    if shows == "img":
        assert face.evaluate("image => image.decode().then(() => image.naturalWidth)") == 240
    elif shows == "audio":
        face.evaluate("audio => audio.play()")  # rejects where it cannot be played
    else:
        assert face.inner_text()


def test_show_more_keeps_what_is_there(visit):
    visit.say("star")
    before = names(visit, 24)
    asked, _ = visit.searched(lambda: visit.page.get_by_role("button", name="Show more").click())
    assert asked["k"] == 48
    assert visit.tiles().count() == 48
    assert names(visit, 24) == before
    asked, _ = visit.say("circle")
    assert asked["k"] == 24  # another query starts again


def test_an_item_opens_with_all_its_values(visit):
    visit.say("star")
    visit.tiles().first.get_by_role("button", name="Open").click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("heading", name="photo").wait_for()
    assert dialog.locator("h3").all_inner_texts() == ["photo", "caption", "sound", "facts", "outline", "trait"]
    assert "star" in dialog.locator("dl").inner_text()
    asked, _ = visit.searched(lambda: dialog.get_by_role("button", name="Without this caption").click())
    assert asked["query"][-1]["modality"] == "caption"
    assert asked["query"][-1]["weight"] == -0.5
    assert dialog.count() == 0


def test_a_filter_narrows_and_says_how_much_is_left(visit):
    visit.say("star")
    visit.page.locator("#filter > summary").click()
    box = visit.page.get_by_label("Only where")
    asked, _ = visit.searched(lambda: box.fill("year > 2010"))
    assert asked["where"] == "year > 2010"
    assert visit.page.get_by_text("39 of 60 items").is_visible()
    assert all(THINGS[id]["year"] > 2010 for id in names(visit, 24))


def test_a_wrong_filter_is_told_beside_it_and_not_searched_with(visit):
    visit.say("star")
    visit.page.locator("#filter > summary").click()
    count = len(visit.searches)
    visit.page.get_by_label("Only where").fill("nonsense > 1")
    visit.page.locator(".filters .trouble").wait_for()
    assert "“nonsense” is not a column" in visit.page.locator(".filters .told").inner_text()
    assert len(visit.searches) == count


def test_the_helper_writes_conditions(visit):
    visit.say("star")
    visit.page.locator("#filter > summary").click()
    helper = visit.page.get_by_role("form", name="Write a condition")

    def add(column, how, value=None):
        helper.get_by_label("Column").select_option(column)
        helper.get_by_label("How").select_option(label=how)
        if value:
            helper.get_by_label("Value").fill(value)
        helper.get_by_role("button", name="Add").click()

    visit.searched(lambda: add("year", "more than", "2000") or add("sold", "is true"))
    assert visit.page.get_by_label("Only where").input_value() == "year > 2000 and sold = true"
    condition = "async (given) => (await import('./page/filters.js')).condition(...given)"
    for given, written in {
        ("from where", "text", "=", "it's here"): "\"from where\" = 'it''s here'",
        ('a "b"', "number", ">=", "3.50"): '"a ""b""" >= 3.5',
        ("order", "text", "is null", ""): '"order" is null',
        ("tags", "list", "contains", "art"): "contains(tags, 'art')",
        ("title", "text", "starts", "x"): "title like 'x%'",
    }.items():
        assert visit.page.evaluate(condition, list(given)) == written


def test_a_link_restores_the_search(visit, context, address):
    visit.say("blue star")
    visit.add("facts").get_by_label("material").select_option("clay")
    card = visit.add("species")
    card.get_by_role("textbox").fill("square")
    card.get_by_role("button", name="without").click()
    visit.page.locator("#filter > summary").click()
    visit.page.get_by_label("Only where").fill("year > 2000")
    asked, _ = visit.searched(lambda: visit.page.get_by_label("Find by").select_option("caption"))
    visit.page.get_by_text(" of 60 items").wait_for()
    visit.page.wait_for_timeout(200)
    asked = visit.searches[-1][0]
    again = Visit(context, address).open(visit.page.url.removeprefix(address))
    assert again.searches[-1][0] == asked
    assert again.page.get_by_role("textbox", name="caption").input_value() == "blue star"
    assert again.page.get_by_label("material").input_value() == "clay"
    assert names(again, 5) == names(visit, 5)
    assert again.faults == []


def test_a_link_says_what_it_could_not_carry(visit, context, address):
    card = visit.add("photo")
    from fake_things import picture_of

    chosen = {"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": picture_of(THINGS["0"])}
    visit.searched(lambda: card.locator("input[type=file]").first.set_input_files(chosen))
    hash = visit.page.url.removeprefix(address)
    assert json.loads(unquote(hash[1:]))["parts"] == [{"modality": "photo", "lost": True}]
    again = Visit(context, address).open(hash)
    assert "choose it again" in again.page.locator(".card").first.inner_text()


@pytest.mark.parametrize(
    ("hash", "says"),
    [
        ("#%7Bbroken", "damaged"),
        ('#{"parts":[{"modality":"scent","value":"x"}]}', "scent"),
        ('#{"parts":[null,7],"k":-3}', "undefined"),
    ],
)
def test_a_damaged_link_is_a_fresh_search(visit, hash, says):
    visit.open(hash)
    assert says in visit.page.locator("#trouble").inner_text()


def test_an_error_is_said_in_the_servers_words_and_goes_away(context):
    server = FakeServer()
    with serving(server.app) as url:
        visit = Visit(context, url).open()
        server.fail = (422, "the parts cancel each other; change a weight")
        visit.say("star")
        assert visit.page.locator("#trouble").inner_text() == "the parts cancel each other; change a weight"
        assert visit.page.locator(".skeleton").count() == 0
        server.fail = None
        visit.say("star again")
        assert visit.page.locator("#trouble").inner_text() == ""
        assert visit.tiles().count() == 24


def test_a_server_that_is_gone_is_said(context):
    with serving(FakeServer().app) as url:
        visit = Visit(context, url).open()
    visit.page.get_by_role("textbox", name="caption").fill("star")
    visit.page.get_by_text("The server does not answer").wait_for()


def test_a_key_is_asked_for_once_and_media_load_with_it(context):
    with serving(FakeServer(key="open sesame").app) as url:
        visit = Visit(context, url)
        visit.page.goto(url)
        dialog = visit.page.get_by_role("dialog", name="Key")
        dialog.get_by_label("Key").fill("wrong")
        dialog.get_by_role("button", name="Open").click()
        visit.page.get_by_text("does not open this index").wait_for()
        visit.page.get_by_role("dialog").get_by_label("Key").fill("open sesame")
        visit.page.get_by_role("dialog").get_by_label("Key").press("Enter")
        visit.tiles().first.wait_for()
        visit.say("blue star")
        image = visit.tiles().first.locator("img")
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 240
        assert visit.page.get_by_role("dialog").count() == 0
        assert "sesame" not in visit.page.url
        visit.page.reload()
        visit.tiles().first.wait_for()
        assert visit.page.get_by_role("dialog").count() == 0


def test_a_key_that_no_browser_can_send_is_not_taken(context):
    with serving(FakeServer(key="open sesame").app) as url:
        visit = Visit(context, url)
        visit.page.goto(url)
        key = visit.page.get_by_role("textbox", name="Key")
        key.fill("ouvre-toi sésame 🔑")
        visit.page.keyboard.press("Enter")
        assert visit.page.evaluate("document.querySelector('dialog input').validity.patternMismatch")
        key.fill("open sesame")
        visit.page.keyboard.press("Enter")
        visit.tiles().first.wait_for()


def test_no_key_given_is_said(context):
    with serving(FakeServer(key="open sesame").app) as url:
        visit = Visit(context, url)
        visit.page.goto(url)
        visit.page.get_by_role("button", name="Cancel").click()
        visit.page.get_by_text("This index is opened with a key.").last.wait_for()


def test_scripts_in_texts_are_shown_and_never_run(visit):
    visit.say("onerror window")
    visit.searched(lambda: visit.page.get_by_label("Find by").select_option("caption"))
    assert "<script>window.ran=1</script>" in visit.tiles().first.inner_text()
    visit.tiles().first.get_by_role("button", name="Open").click()
    visit.page.get_by_role("dialog").get_by_text("<script>").wait_for()
    visit.page.wait_for_timeout(100)
    assert visit.page.evaluate("window.ran") is None
    assert visit.page.locator("#hits script, dialog script, img[src=x]").count() == 0
