"""Bodies that mean harm, or are mistaken: (name, path, content type, body, statuses that are right)."""

import json
import struct

from asking import encoded, part, picture, pieces, png_of_size, sound, words

JSON = "application/json"
WRONG, BROKEN, TYPE = (422,), (400,), (415,)
TRAVERSALS = [
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\x",
    "file:///etc/passwd",
    "%2e%2e%2f",
    "a\0b",
    "~/.ssh/id_rsa",
]
SCRIPTS = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{{7*7}}", "${7*7}"]
CONDITIONS = [
    "1=1; DROP TABLE items",
    "year > 2010 OR 1=1 --",
    "' OR '1'='1",
    "year > (SELECT max(year) FROM items)",
    "load_extension('/x.so')",
    "/* */ year > 1",
    "year > 2010 UNION SELECT * FROM labels",
    "\0",
    "(" * 1900,
    "NOT " * 400,
    "x" * 2001,
    "year > " + "9" * 1000,
    "pg_sleep(10)",
    "note LIKE '" + "%" * 1000 + "'",
]
WRONG_TYPES = [None, True, 1, 1.5, "text", [], [1], [[1]], ["a"], {}, {"a": 1}, [None], [{}]]
VALUES = {  # what is no value of a kind
    "caption": [None, True, 1, 1.5, [], ["a"], {}, {"base64": "aGk="}, "x" * 10_001],
    "photo": [None, 1, "photo.png", [], {}, {"base64": 1}, {"base64": "!"}, {"base64": ""}, {"path": "/etc/passwd"}],
    "call": [None, 1, "call.wav", [[1]], {"base64": ""}, {"base64": "aGk="}, encoded(picture())],
    "facts": [None, 1, "year", [], {"year": [1]}, {"year": {}}, {"nothing": 1}, {"kind": "x" * 10_001}],
    "points": [None, 1, "1", [], [1] * 4, [1] * 6, ["1"] * 5, [True] * 5, [None] * 5, [[1]] * 5, [1e39] * 5, {}],
    "strokes": [None, 1, "1", [], [[]], [1, 2], [[1]], [[1, 2], [3]], [[1, 2, 3]], [["1", "2"]], [[True, False]], {}],
    "foreign": ["a", 1, [1, 2]],
    "nowhere": ["a"],
    "../../etc/passwd": ["a"],
}
VALUES["photo"] += [
    {"file": "a"},
    {"file": "/etc/passwd"},
    {"base64": "aGk=", "file": "a"},
    {"url": "http://127.0.0.1/"},
]
VALUES["facts"] += [{"../../etc/passwd": 1}, {"year": 10**400}, {"__class__": "x"}]
VALUES["points"] += [{"base64": "aGk="}, [10**400] * 5]
VALUES["strokes"] += [[[1e39, 1]], [[None, 1]]]
MEDIA = {
    "photo": {
        "bomb": png_of_size(50_000, 50_000),
        "bomb of one row": png_of_size(2_147_483_647, 1),
        "truncated png": picture((300, 300))[:-60],
        "half a jpeg": picture((300, 300), "JPEG")[:400],
        "headless png": b"\x89PNG\r\n\x1a\n",
        "gif of nothing": b"GIF89a",
        "bmp bomb": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "webp bomb": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xfe\x3f\0\xfe\x3f\0VP8 \0\0\0\0",
        "tiff loop": b"II*\0\x08\0\0\0\x01\0\0\x01\x04\0\x01\0\0\0\xff\xff\xff\xff\x08\0\0\0",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nsystemdict /run get exec",
        "pdf": b"%PDF-1.4",
        "ppm": b"P6 60000 60000 255 ",
        "html": b"<html>",
        "zip": b"PK\x03\x04",
        "pickle": b"\x80\x04cos\nsystem\n(S'ls'\ntR.",
        "png in many pieces": pieces(b"IEND"),
        "png with many pieces of header": pieces(b"IDAT"),
        "jpeg in a thousand scans": picture(format="JPEG") + b"\xff\xda" * 1000,
        "jpeg of nothing but padding": b"\xff\xd8" + b"\xff" * 500_000,
        "a sound": sound(),
        "zeros": bytes(1000),
    },
    "call": {
        "truncated wav": sound()[:30],
        "truncated mp3": sound(format="MP3", rate=16_000, seconds=1)[:40],
        "wav of no samples": sound(seconds=0),
        "too long": sound(seconds=61, rate=1000),
        "too many channels": sound(channels=9),
        "too slow": sound(seconds=0.5, rate=100),
        "huge header": b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\xff\xff\xff\xff\xff\xff\0\0\0\0\x01\0\x08\0data\xff\xff\xff\xff",
        "flac of nothing": b"fLaC" + bytes(60),
        "ogg of nothing": b"OggS" + bytes(60),
        "id3 alone": b"ID3\x04\0\0\0\0\0\0" + bytes(100),
        "mp3 of noise": b"\xff\xfb" + bytes(range(256)) * 8,
        "midi": b"MThd\0\0\0\6\0\1\0\1\0\x60",
        "a picture": picture(),
    },
}
RAW = {
    "nothing": (b"", BROKEN),
    "a space": (b" ", BROKEN),
    "half": (b'{"query": [', BROKEN),
    "NaN": (b'{"query": [{"modality": "caption", "values": ["a"], "weight": NaN}], "target": "photo"}', WRONG),
    "Infinity": (
        b'{"query": [{"modality": "caption", "values": ["a"], "weight": -Infinity}], "target": "photo"}',
        WRONG,
    ),
    "NaN in a vector": (b'{"query": [{"modality": "points", "values": [[NaN,1,1,1,1]]}], "target": "photo"}', WRONG),
    "NaN in a table": (b'{"query": [{"modality": "facts", "values": [{"year": NaN}]}], "target": "photo"}', WRONG),
    "1e999 in a series": (b'{"query": [{"modality": "strokes", "values": [[[1e999,1]]]}], "target": "photo"}', WRONG),
    "deep": (b"[" * 100_000, BROKEN),
    "deep and closed": (b"[" * 100_000 + b"]" * 100_000, BROKEN),
    "deep objects": (b'{"a":' * 100_000, BROKEN),
    "deep inside": (b'{"query": [{"modality": "points", "values": [' + b"[" * 100_000, BROKEN),
    "a long integer": (b'{"k": ' + b"9" * 100_000 + b"}", BROKEN),
    "a long fraction": (b'{"query": 0.' + b"9" * 100_000 + b"}", (400, 422)),
    "no UTF-8": (b'{"target": "\xff\xfe"}', BROKEN),
    "UTF-16": (json.dumps(words()).encode("utf-16"), BROKEN),
    "a mark of order": (b"\xef\xbb\xbf" + json.dumps(words()).encode(), BROKEN),
    "half a surrogate": (b'{"query": [{"modality": "caption", "values": ["\\ud800"]}], "target": "photo"}', BROKEN),
    "half a surrogate as a name": (b'{"query": [{"modality": "\\udfff"}], "target": "photo"}', BROKEN),
    "two documents": (json.dumps(words()).encode() * 2, BROKEN),
    "a comment": (b"/* */ {}", BROKEN),
    "single quotes": (b"{'query': []}", BROKEN),
    "a trailing comma": (b'{"k": 1,}', BROKEN),
    "control characters": (b'{"target": "\n\0"}', BROKEN),
    "a tag of YAML": (b"!!python/object/apply:os.system ['ls']", BROKEN),
    "a document of XML": (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', BROKEN),
    "twice the same key, the last one wrong": (b'{"query": [], "query": 1, "target": "photo"}', WRONG),
    "many unknown keys": (json.dumps({f"k{n}": n for n in range(10_000)}).encode(), WRONG),
    "an unknown key of a megabyte": (json.dumps({"x" * 1_000_000: 1}).encode(), WRONG),
}
FORMS = {
    "no boundary": ("multipart/form-data", b"--x\r\n\r\n--x--", BROKEN),
    "an empty boundary": ("multipart/form-data; boundary=", b"----", (400, 422)),
    "another boundary": ("multipart/form-data; boundary=y", b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}\r\n--x--', BROKEN),
    "nothing": ("multipart/form-data; boundary=x", b"", WRONG),
    "no name": ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\n{}\r\n--x--\r\n", BROKEN),
    "no disposition": ("multipart/form-data; boundary=x", b"--x\r\n\r\n{}\r\n--x--\r\n", BROKEN),
    "no request": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{}\r\n--x--\r\n', WRONG),
    "cut off": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n{"que', (400, 422)),
    "twice": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}\r\n' * 2 + b"--x--\r\n", WRONG),
    "thousands of parts": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 5000 + b"--x--\r\n", BROKEN),
    "thousands of files": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n\r\n' * 5000 + b"--x--\r\n", BROKEN),
    "a megabyte of header": ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: " + b"a" * 1_000_000, (400, 422)),
    "a boundary of a megabyte": ("multipart/form-data; boundary=" + "x" * 30_000, b"", (400, 422)),
    "a name in bad UTF-8": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n{}\r\n--x--\r\n', WRONG),
    "an unknown charset": ("multipart/form-data; boundary=x; charset=rot13", b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n{}\r\n--x--\r\n', WRONG),
}  # fmt: skip


def _named(prefix, path, bodies, statuses=WRONG):
    for number, body in enumerate(bodies):
        yield f"{prefix} {number}", path, JSON, json.dumps(body).encode(), statuses


def _cases():
    for name, (body, statuses) in RAW.items():
        yield f"raw: {name}", "/search", JSON, body, statuses
    for name, (kind, body, statuses) in FORMS.items():
        yield f"form: {name}", "/search", kind, body, statuses
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "application/xml", "a/b/c; =", "application/json; charset=utf-16"):  # fmt: skip
        yield f"type {kind!r}", "/search", kind, json.dumps(words()).encode(), TYPE
    for place in ("query", "target", "k", "where", "calibrated", "correct", "fusion"):
        right = {
            "target": (str,),
            "where": (str, type(None)),
            "calibrated": (bool,),
            "correct": (type(None),),
            "k": (int,),
        }
        wrong = [value for value in WRONG_TYPES if type(value) not in right.get(place, ())]
        yield from _named(f"{place} as", "/search", [words(**{place: value}) for value in wrong])
    for place in ("modality", "values", "items", "vectors", "weight"):
        right = {"weight": (int, float), "modality": (str,)}
        empty = [[]] if place not in ("modality", "weight") else []
        wrong = [
            value
            for value in WRONG_TYPES
            if type(value) not in right.get(place, ()) and value not in empty and (place, value) not in GOOD
        ]
        bodies = [{"query": [{"modality": "caption", place: value}], "target": "photo"} for value in wrong]
        yield from _named(f"part, {place} as", "/search", bodies)
    for modality, values in VALUES.items():
        yield from _named(f"{modality} value", "/search", [part(modality, value) for value in values])
        yield from _named(f"{modality} embedded", "/embed", [{"modality": modality, "values": [v]} for v in values[:2]])
    for modality, contents in MEDIA.items():
        for name, content in contents.items():
            yield f"{modality}: {name}", "/search", JSON, json.dumps(part(modality, encoded(content))).encode(), WRONG
    yield from _named("where", "/search", [words(where=text) for text in CONDITIONS])
    yield from _named("traversal: target", "/search", [words(target=text) for text in TRAVERSALS])
    yield from _named("traversal: item", "/search", [part("photo", items=[text]) for text in TRAVERSALS])
    yield from _named("traversal: text", "/search", [words(text) for text in TRAVERSALS], (200,))
    yield from _named("script: text", "/search", [words(text) for text in SCRIPTS], (200,))
    yield from _named("script: target", "/search", [words(target=text) for text in SCRIPTS])
    yield from _named("script: item", "/search", [part("photo", items=[text]) for text in SCRIPTS[1:]])
    yield from _named("k", "/search", [words(k=k) for k in (0, -1, 1001, 2**31, 2**63, 10**300, 1.5, "10")])
    yield from _named(
        "weight", "/search", [part("caption", "a", weight=w) for w in (0, 1e-9, 1e300, -1e300, "1", None)]
    )
    cancelling = [{"modality": "caption", "values": ["a"], "weight": w} for w in (1, -1)]
    yield from _named("weights that cancel", "/search", [{"query": cancelling, "target": "photo"}])
    yield from _named("a part twice", "/search", [{"query": [cancelling[0]] * 2, "target": "photo"}])
    yield from _named("too many parts", "/search", [{"query": [cancelling[0]] * 17, "target": "photo"}])
    yield from _named("too many values", "/search", [part("caption", *["a"] * 17)])
    yield from _named("too many items", "/search", [part("photo", items=["1"] * 65)])
    yield from _named("too many classes", "/classify", [{"query": words()["query"], "modality": "species", "classes": ["a"] * 201}])  # fmt: skip
    yield from _named("empty", "/search", [{}, [], None, 1, "", {"query": [], "target": "photo"}, {"query": [{}], "target": ""}])  # fmt: skip
    yield from _named("empty text of a part", "/search", [part("caption"), part("photo", items=[""]), part("")])
    yield from _named("vectors", "/search", [part("caption", vectors=v) for v in ([[1]], [[0] * 8], [[1] * 8], [[1e30] * 8], [[1e39] + [0] * 7], [["1"] + [0] * 7], [[]], [[1] + [0] * 7] * 17)])  # fmt: skip
    yield from _named(
        "unknown fields", "/search", [words(path="/etc/passwd"), part("caption", "a", file="x"), words(_k=1)]
    )
    yield from _named("too many pixels in all", "/search", [part("photo", *[encoded(png_of_size(4999, 4999))] * 5)])
    yield from _named("embed", "/embed", [{}, {"modality": "caption"}, {"modality": "caption", "values": []}, {"modality": 1, "values": ["a"]}, {"modality": "caption", "values": ["a"] * 17}])  # fmt: skip
    yield from _named("classify", "/classify", [{}, {**words(), "modality": "species", "classes": ["a"]}, {"query": [], "modality": "species", "classes": ["a"]}, {"query": words()["query"], "modality": "species", "classes": []}, {"query": words()["query"], "modality": "photo", "classes": ["a.png"]}])  # fmt: skip


GOOD = [("values", ["a"])]
CASES = list(_cases())
