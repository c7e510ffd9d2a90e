"""The page on the real server, over a real index: words, a picture, both, a filter, and what is unlike something."""

import pytest
from fake_server import serving
from visits import Visit

import real_index
from manymodal.server import ServerSettings, create_app

FOUND = ".tile:not(.skeleton)"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where the real server answers, in place of the pretended one."""
    with serving(create_app(real_index.build(tmp_path_factory.mktemp("real")))) as url:
        yield url


def test_words_a_picture_and_a_filter_find_items(visit: Visit):
    visit.say("a cat in 2004")
    assert visit.tiles().count() == 24
    assert "40 items" in visit.page.get_by_role("status").filter(has_text="nearest").inner_text()
    photo = real_index.rows()[7]["photo"]["bytes"]
    card = visit.add("photo")
    chosen = {"name": "seven.png", "mimeType": "image/png", "buffer": photo}
    asked, files = visit.searched(lambda: card.locator("input[type=file]").first.set_input_files(chosen))
    assert [part["modality"] for part in asked["query"]] == ["caption", "photo"] and files == {"file0": photo}
    shown = visit.page.locator(f"{FOUND} img").first
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 24


def test_a_link_restores_a_search_with_a_filter(visit: Visit):
    visit.say("a dog in 2011")
    visit.page.locator("#filter > summary").click()
    box = visit.page.get_by_label("Only where")
    asked, _ = visit.searched(lambda: box.fill("year > 2030"))
    assert asked["where"] == "year > 2030"
    visit.page.wait_for_function("document.querySelectorAll('.tile:not(.skeleton)').length === 9")
    link = visit.page.evaluate("location.hash")
    visit.open(link)
    assert visit.tiles().count() == 9


def test_behind_a_prefix_the_page_is_whole(context, tmp_path_factory):
    app = create_app(real_index.build(tmp_path_factory.mktemp("prefixed")), ServerSettings(root_path="/pets"))
    with serving(app) as url:
        visit = Visit(context, f"{url}pets/").open()  # a proxy that leaves the prefix; one that takes it away: the next
        visit.say("a cat in 2004")
        assert visit.tiles().count() == 24 and visit.faults == []
        assert Visit(context, url).open().tiles().count() > 0
        assert {each for each in visit.addresses if not each.startswith((f"{url}pets/", "about:"))} == set()


def test_script_in_ids_and_texts_is_shown_and_does_not_run(visit: Visit):
    visit.page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    visit.say(real_index.HOSTILE)
    visit.searched(lambda: visit.page.get_by_label("Find by").select_option("caption"))
    assert real_index.HOSTILE in visit.tiles().first.inner_text()
