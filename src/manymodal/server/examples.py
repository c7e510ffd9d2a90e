"""Bodies that show what can be asked; `/docs` offers them."""

from __future__ import annotations

# One transparent pixel, as PNG.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SEARCH = {
    "words": {"query": [{"modality": "caption", "values": ["a cat asleep"]}], "target": "photo"},
    "words without a dog, after 2010": {
        "query": [
            {"modality": "caption", "values": ["asleep"]},
            {"modality": "caption", "values": ["dog"], "weight": -0.5},
        ],
        "target": "photo",
        "k": 20,
        "where": "year > 2010",
    },
    "like a stored item, but": {
        "query": [
            {"modality": "photo", "items": ["4711"]},
            {"modality": "attributes", "values": [{"colour": "white", "weight": 3.5}], "weight": 0.5},
        ],
        "target": "item",
    },
    "a picture": {"query": [{"modality": "photo", "values": [{"base64": PIXEL}]}], "target": "caption"},
}
EMBED = {"words": {"modality": "caption", "values": ["a cat asleep", "two dogs"]}}
CLASSIFY = {
    "a stored photo": {
        "query": [{"modality": "photo", "items": ["4711"]}],
        "modality": "caption",
        "classes": ["a cat", "a dog"],
    }
}
