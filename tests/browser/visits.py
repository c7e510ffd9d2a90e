"""A visit to the page that remembers what the page asked."""

from __future__ import annotations

import base64
import json
from typing import Any

# The browser does not tell what a form with files holds, so the page's own way to send is listened to.
LISTEN = """
    window.sent = [];
    const send = window.fetch;
    window.fetch = (address, options = {}) => {
        if (options.method === "POST") window.sent.push(options.body);
        return send(address, options);
    };
"""
SENT = """() => Promise.all(window.sent.map(async (body) => {
    if (typeof body === "string") return [body, {}];
    const files = {};
    for (const [name, blob] of body) {
        if (typeof blob === "string") continue;
        const bytes = new Uint8Array(await blob.arrayBuffer());
        files[name] = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    }
    return [body.get("request"), files];
}))"""


class Visit:
    """The page in a tab of its own, with every address that it asked for and every search that it sent."""

    def __init__(self, context: Any, url: str) -> None:
        self.url, self.page = url, context.new_page()
        self.addresses: list[str] = []
        self.faults: list[str] = []
        self.page.set_default_timeout(5000)
        self.page.add_init_script(LISTEN)
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    @property
    def searches(self) -> list[tuple[dict[str, Any], dict[str, bytes]]]:
        """Every search that was sent since the page was opened: the request, and the files that it names."""
        return [
            (json.loads(request), {name: base64.b64decode(content) for name, content in files.items()})
            for request, files in self.page.evaluate(SENT)
        ]

    def open(self, hash: str = "") -> Visit:
        """Go to the page and wait until it is filled."""
        self.page.goto("about:blank")
        self.page.goto(self.url + hash)
        self.page.wait_for_selector(".card")
        self.page.wait_for_selector(".tile:not(.skeleton)")
        return self

    def searched(self, does: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Do something, wait for the answer of the last search that it sets off, and give that search."""
        with self.page.expect_response(lambda response: response.url == f"{self.url}search"):
            does()
        self.page.locator("#hits:not([aria-busy])").wait_for()
        return self.searches[-1]

    def say(self, words: str, modality: str = "caption") -> tuple[dict[str, Any], dict[str, bytes]]:
        """Write words and press Enter."""
        box = self.page.get_by_role("textbox", name=modality, exact=True)
        box.fill(words)
        return self.searched(lambda: box.press("Enter"))

    def add(self, modality: str) -> Any:
        """Add a part; gives its card."""
        self.page.locator(f"[data-modality={modality}]").click()
        return self.page.locator(".card").last

    def tiles(self) -> Any:
        """What was found."""
        return self.page.locator(".tile:not(.skeleton)")
