"""What goes over the wire: the bodies of requests and answers, as their OpenAPI has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, WithJsonSchema, model_validator

Name = Annotated[str, Field(min_length=1, max_length=1_000)]
T = TypeVar("T")
Some = Annotated[list[T], FailFast()]  # of a million mistakes the first is enough: to list them all takes seconds
FIELDS, PARTS = 100, 1_000  # beyond any sense; what is allowed is in `settings`

# How a value reads depends on its modality's kind, which only the index knows: it is checked in `asked`.
VALUE_SCHEMA: dict[str, Any] = {
    "description": "By the modality's kind: a string (text), an object of cells (table), a list of numbers (vector), "
    "a list of lists of numbers (series), base64 or the name of an uploaded field (image, audio).",
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "number"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        {
            "type": "object",
            "properties": {"base64": {"type": "string"}},
            "required": ["base64"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"file": {"type": "string"}},
            "required": ["file"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
        },
    ],
}
Value = Annotated[Any, WithJsonSchema(VALUE_SCHEMA)]


class Asked(BaseModel):
    """A body of a request: types are meant strictly, and nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def few(cls, came: Any) -> Any:
        """Refuse a flood of fields at once."""
        if isinstance(came, dict) and len(came) > FIELDS:
            raise ValueError(f"{len(came):,} fields; there are {', '.join(cls.model_fields)}")
        return came


class AskedPart(Asked):
    """One modality's share in a query: raw values, stored items, vectors of the space, or several of these."""

    modality: Name = Field(examples=["caption"])
    values: list[Value] = Field([], examples=[["asleep"]])
    items: Some[Name] = Field([], description="Ids of stored items; labels, for a modality with one value per label.")
    vectors: Some[Some[float]] = Field([], description="Unit vectors of the space.")
    weight: float = Field(1.0, ge=-1e6, le=1e6, description="Below 0: what hits should be without.")


class SearchRequest(Asked):
    """A query of one or several parts, and where its hits are looked for."""

    query: Some[AskedPart] = Field(min_length=1, max_length=PARTS)
    target: Name = Field(description='A modality, or "item": every item\'s composed vector.', examples=["photo"])
    k: int = Field(10, ge=1)
    where: str | None = Field(None, description="A condition on the items' columns.", examples=["year > 2010"])
    calibrated: bool = True
    correct: Literal["qb_norm", "nnn", "csls", "mean_removal"] | None = None
    fusion: Literal["compose", "rank"] = "compose"


class EmbedRequest(Asked):
    """Raw values of one modality."""

    modality: Name = Field(examples=["caption"])
    values: list[Value] = Field(min_length=1, examples=[["a cat asleep"]])


class ClassifyRequest(Asked):
    """A query, and the classes it may belong to, as raw values of a modality."""

    query: Some[AskedPart] = Field(min_length=1, max_length=PARTS)
    modality: Name = Field(description="Of the classes.", examples=["caption"])
    classes: list[Value] = Field(min_length=1, examples=[["a cat", "a dog"]])
    calibrated: bool = True


class Params(BaseModel):
    """Parameters of a query string: nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid")


class SimilarParams(Params):
    """More like this item."""

    id: Name
    target: Name
    k: int = Field(10, ge=1)
    using: list[Name] = Field([], description="The item's modalities that ask; all it has values in unless said.")
    where: str | None = None


class ItemsParams(Params):
    """A page of items."""

    where: str | None = None
    limit: int = Field(20, ge=1)
    offset: int = Field(0, ge=0, le=2**53)


class ItemParams(Params):
    """One item."""

    id: Name


class MediaParams(Params):
    """One stored picture or sound."""

    id: Name
    modality: Name
    place: int = Field(0, ge=0, le=2**31 - 1)


class ShownOut(BaseModel):
    """What a page shows of a value."""

    place: int
    text: str | None
    type: str | None = Field(description="Media type; null where no media is stored.")
    media: str | None = Field(description="Where its bytes are, under this service's address.")


class HitOut(BaseModel):
    """One result: why it was found, and what to show."""

    id: str
    score: float
    value: int = Field(description="Place, in the item's list, of the value that matched.")
    parts: dict[str, float] = Field(description="Each part's own cosine; -name for negative weights.")
    columns: dict[str, Any]
    shown: ShownOut | None = Field(description='Null where the target is "item".')


class SearchAnswer(BaseModel):
    """Hits, best first."""

    hits: list[HitOut]
    target: str
    exact: bool = Field(description="Whether every vector was compared.")
    version: int
    took_ms: float


class EmbedAnswer(BaseModel):
    """One unit vector for each value."""

    vectors: list[list[float]]
    d: int
    space: str | None


class ClassOut(BaseModel):
    """A class and how near the query is to it."""

    place: int = Field(alias="class", description="Place in the list of classes.")
    similarity: float


class ClassifyAnswer(BaseModel):
    """Classes, best first."""

    classes: list[ClassOut]


class ItemOut(BaseModel):
    """A stored item."""

    id: str
    label: str | None
    columns: dict[str, Any]
    values: dict[str, list[ShownOut]]


class ItemsAnswer(BaseModel):
    """A page of items, and how many there are in all."""

    items: list[ItemOut]
    total: int


class CellOut(BaseModel):
    """A column of a table modality."""

    kind: str
    categories: list[str | bool]


class ModalityOut(BaseModel):
    """A modality of the index."""

    kind: str | None
    per: str
    queryable: bool
    items: int
    values: int
    recall: dict[str, float]
    cells: dict[str, CellOut]
    width: int | None


class IndexAnswer(BaseModel):
    """What is served, and what is allowed."""

    name: str
    version: int
    items: int
    d: int
    engine: str
    calibrated: bool
    corrections: list[str]
    space: str | None
    modalities: dict[str, ModalityOut]
    columns: dict[str, str]
    targets: list[str]
    limits: dict[str, float]


class Health(BaseModel):
    """The state of the service."""

    status: str


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
