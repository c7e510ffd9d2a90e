"""The OpenAPI says what the server does: by itself, to Swagger UI without a network, and to a fuzzer."""

import asyncio
import re

import httpx
import jsonschema_rs
import pytest
import schemathesis
from asking import client, listening
from fake_index import FakeIndex
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import positive_data_acceptance

from manymodal.server import ServerSettings, create_app, examples

APP = create_app(FakeIndex())
SCHEMA = APP.openapi()
FUZZED = schemathesis.openapi.from_dict(SCHEMA)


def get(path, **more):
    async def ask():
        async with client(APP) as asker:
            return await asker.get(path, **more)

    return asyncio.run(ask())


def test_it_names_every_route_and_every_refusal():
    assert set(SCHEMA["paths"]) == {
        "/search", "/similar", "/embed", "/classify", "/items", "/item", "/media", "/index", "/live", "/ready", "/metrics",
    }  # fmt: skip
    search = SCHEMA["paths"]["/search"]["post"]
    assert set(search["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert {"400", "401", "408", "413", "415", "422", "429", "503", "504"} < set(search["responses"])
    for path, operations in SCHEMA["paths"].items():
        for operation in operations.values():
            assert operation["description"] or operation["summary"], path
            for status, response in operation["responses"].items():
                if status >= "400" and status != "416":
                    assert set(response["content"]) == {"application/problem+json"}, (path, status)


def test_every_reference_is_there():
    text = str(SCHEMA)
    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert names <= set(SCHEMA["components"]["schemas"]) and "SearchRequest" in names
    assert "#/$defs" not in text and "HTTPValidationError" not in text


@pytest.mark.parametrize(
    ("name", "bodies"),
    [("SearchRequest", examples.SEARCH), ("EmbedRequest", examples.EMBED), ("ClassifyRequest", examples.CLASSIFY)],
)
def test_the_examples_are_of_their_schema(name, bodies):
    schema = {"$ref": f"#/components/schemas/{name}", "components": SCHEMA["components"]}
    fits = jsonschema_rs.validator_for(schema).is_valid
    for body in bodies.values():
        assert fits(body) and not fits({**body, "nothing": 1})


def test_it_says_that_keys_are_needed_where_they_are():
    assert "security" not in SCHEMA
    schema = create_app(FakeIndex(), ServerSettings(keys=("one",))).openapi()
    assert schema["security"] == [{"key": []}]
    assert schema["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    assert schema["paths"]["/live"]["get"]["security"] == []


def test_the_documentation_asks_nobody_else():
    page = get("/docs")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) >= 4 and not [url for url in named if "//" in url]
    for url in named:
        if not url.startswith("data:"):
            answer = get("/" + url)
            assert answer.status_code == 200, url
    assert "//" not in get("/docs/start.js").text and "<script>" not in page.text


def test_the_page_is_served_with_its_files():
    page = get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    named = [url for url in re.findall(r'(?:src|href)="([^"#]+)"', page.text) if not url.startswith("data:")]
    assert named and all(get("/" + url).status_code == 200 for url in named)


@pytest.fixture(scope="module")
def address():
    with listening(FakeIndex()) as port:
        yield f"http://127.0.0.1:{port}"


@FUZZED.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_a_fuzzer_finds_nothing(case, address):
    # Whether a value fits its modality is for the index to say, not for the schema: such a refusal is no finding.
    case.call_and_validate(address, excluded_checks=[positive_data_acceptance])


def test_a_method_that_is_not_there_is_refused():
    async def ask():
        async with client(APP) as asker:
            return await asker.delete("/search")

    answer = asyncio.run(ask())
    assert isinstance(answer, httpx.Response) and answer.status_code == 405 and answer.headers["allow"] == "POST"
    assert answer.headers["content-type"] == "application/problem+json"
