"""The page by keyboard, for screen readers, and at any width."""

import pytest
from visits import Visit

# The colours of a text and of what lies behind it, for every element that holds text of its own and can be seen.
SEEN = """() => {
    const rgb = (colour) => {
        const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    };
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const colour = rgb(getComputedStyle(node).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return [255, 255, 255, 255];
    };
    const own = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    return [...document.querySelectorAll("body *")].filter((node) => own(node) && node.checkVisibility({ opacityProperty: true })
        && !node.closest("noscript, option, .unseen, .skip, #drop, canvas, :disabled")).map((node) => {
        const style = getComputedStyle(node);
        return { text: node.textContent.trim().slice(0, 30), size: parseFloat(style.fontSize), ink: rgb(style.color), ground: ground(node) };
    });
}"""

UNNAMED = """() => [...document.querySelectorAll("input, select, textarea, button, canvas, audio, img, a, [role]")].filter((node) =>
    node.checkVisibility() && !["group", "status", "alert"].includes(node.getAttribute("role"))
    && !(node.getAttribute("aria-label") || node.getAttribute("alt") || node.labels?.length || node.innerText?.trim()))
    .map((node) => node.outerHTML.slice(0, 120))"""


def contrast(one, other):
    def light(colour):
        parts = [level / 255 for level in colour[:3]]
        red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


def fill(visit):
    """A page with everything on it."""
    visit.say("blue star")
    for modality in ("photo", "sound", "facts", "trait", "outline"):
        visit.add(modality)
    visit.searched(lambda: visit.tiles().nth(1).get_by_role("button", name="Less like").click())
    for part in ("filter", "options"):
        visit.page.locator(f"#{part} > summary").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_can_be_read(visit, scheme):
    visit.page.emulate_media(color_scheme=scheme)
    fill(visit)
    assert visit.page.evaluate(UNNAMED) == []
    seen = visit.page.evaluate(SEEN)
    assert len(seen) > 100
    faint = {
        (text["text"], round(contrast(text["ink"], text["ground"]), 2))
        for text in seen
        if contrast(text["ink"], text["ground"]) < 4.5
    }
    assert faint == set()
    visit.tiles().first.get_by_role("button", name="Open").click()
    visit.page.get_by_role("dialog").locator("dl").wait_for()
    assert visit.page.evaluate(UNNAMED) == []


def test_ids_are_unique_and_headings_in_order(visit):
    fill(visit)
    ids = visit.page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    assert visit.page.locator("h1").count() == 1
    assert visit.page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_is_wider_than_the_screen(browser, address, width):
    context = browser.new_context(viewport={"width": width, "height": 800})
    visit = Visit(context, address).open()
    for _ in range(2):
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        fill(visit) if visit.page.locator(".card").count() == 1 else None
    visit.tiles().first.get_by_role("button", name="Open").click()
    visit.page.get_by_role("dialog").locator("dl").wait_for()
    assert visit.page.get_by_role("dialog").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
    context.close()


def test_a_search_by_keyboard_alone(visit):
    page = visit.page
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "caption"  # one starts by typing
    page.keyboard.type("red circle")
    visit.searched(lambda: page.keyboard.press("Enter"))
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.tile button.face')"):
            break
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Open Red circle")
    outline = "(node) => getComputedStyle(node.closest('.tile')).outlineStyle"
    assert page.locator(":focus").evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    assert page.evaluate("document.activeElement.matches('.tile button.face')")  # back where one was
    page.keyboard.press("Tab")
    visit.searched(lambda: page.keyboard.press("Enter"))
    assert page.locator(".card h3").first.inner_text() == "Like this"
    assert page.evaluate("document.activeElement.closest('.card') !== null")


def test_removing_a_card_keeps_the_keyboards_place(visit):
    visit.add("species")
    visit.page.locator(".card").last.get_by_role("button", name="Remove species").press("Enter")
    assert visit.page.evaluate("document.activeElement.getAttribute('aria-label')") == "caption"
    visit.page.get_by_role("button", name="Remove caption").press("Enter")
    assert visit.page.evaluate("document.activeElement.dataset.modality") == "photo"


def test_results_and_errors_are_announced(visit):
    for name, role in {"#status": "status", "#trouble": "alert"}.items():
        assert visit.page.locator(name).get_attribute("role") == role


def test_nothing_jumps_while_it_loads(visit):
    page = visit.page
    page.evaluate("""() => {
        window.jumps = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
            if (!entry.hadRecentInput) window.jumps += entry.value;
        })).observe({ type: "layout-shift" });
    }""")
    visit.say("blue star")
    visit.searched(lambda: visit.page.get_by_role("textbox", name="caption").fill("red square"))
    page.wait_for_timeout(300)
    assert page.evaluate("window.jumps") < 0.05


def test_on_a_phone_an_entered_search_shows_its_results(browser, address):
    context = browser.new_context(viewport={"width": 360, "height": 640}, reduced_motion="reduce")
    visit = Visit(context, address).open()
    visit.say("star")
    assert visit.page.evaluate("document.querySelector('.tile').getBoundingClientRect().top") < 320
    context.close()
