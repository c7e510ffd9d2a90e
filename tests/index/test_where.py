"""Filters against plain Python over the same rows, in LanceDB itself; and what must be refused."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filters import COLUMNS, matching, table
from manymodal.errors import ManymodalError
from manymodal.index.where import compile_where

ROWS = [
    {
        "year": 2010, "wing span": 0.5, "Größe.cm": 3, "count": 2**64 - 1, "kind": "O'Brien 100%", "Kind": "x", "order": "b",
        'odd "`name`': "a", "indoor": True, "date": date(2020, 1, 1), "seen.at": datetime(2020, 1, 1, 12), "zoned": datetime(2020, 1, 1, 12, tzinfo=UTC),
        "tags": ["red", "it's", None], "camera": {"make": "q"},
    },
    {},
    {
        "year": -5, "wing span": 1e300, "Größe.cm": 2**53 + 1, "count": 0, "kind": r"a_b\c", "Kind": "kind", "order": "a",
        'odd "`name`': "-- ; '", "indoor": False, "date": date(1, 1, 2), "seen.at": datetime(9999, 12, 31, 23, 59, 59, 999999),
        "zoned": datetime(1600, 5, 5, tzinfo=UTC), "tags": [], "camera": {"make": None},
    },
    {
        "year": 2**62 + 1, "wing span": -0.25, "Größe.cm": -1, "count": 7, "kind": "Äpfel\nund ß", "Kind": "", "order": "'",
        "indoor": True, "date": date(9999, 12, 31), "seen.at": datetime(1, 1, 1), "zoned": datetime(2020, 1, 1, tzinfo=UTC), "tags": ["RED", "red"],
    },
    {"year": 2011, "kind": "", "indoor": False, "tags": [None]},
]  # fmt: skip


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return table(tmp_path_factory.mktemp("where"), ROWS)


def ask(name, test):
    """A row's column, where it is not null, put to a test."""
    return lambda row: row.get(name) is not None and test(row[name])


GOOD = [
    ("year > 2010", ask("year", lambda v: v > 2010)),
    ("YEAR >= 2010", ask("year", lambda v: v >= 2010)),
    ("2010 >= year", ask("year", lambda v: v <= 2010)),
    ("year = 2010.0", ask("year", lambda v: v == 2010)),
    ("year > 2010.5", ask("year", lambda v: v > 2010.5)),
    ("year != 2010", ask("year", lambda v: v != 2010)),
    ("not year <> 2010", ask("year", lambda v: v == 2010)),
    ("not year < 2010", ask("year", lambda v: v >= 2010)),
    ("not year <= 2010", ask("year", lambda v: v > 2010)),
    ("not year > 2010", ask("year", lambda v: v <= 2010)),
    ("not 2010 <= year", ask("year", lambda v: v < 2010)),
    ("not year = 2010", ask("year", lambda v: v != 2010)),
    ("year = 4611686018427387905", ask("year", lambda v: v == 2**62 + 1)),
    ("year < 4611686018427387905", ask("year", lambda v: v < 2**62 + 1)),
    ("year < 1e30 and year > -99999999999999999999", ask("year", lambda v: True)),
    ("year > -9223372036854775808", ask("year", lambda v: True)),
    ("year = -5 or year = - (5)", ask("year", lambda v: v == -5)),
    ("year between -5 and 2010", ask("year", lambda v: -5 <= v <= 2010)),
    ("year not between -5.5 and 2010", ask("year", lambda v: v > 2010)),
    ("year in (2010, -5, 1e3, 0.5)", ask("year", lambda v: v in (2010, -5))),
    ("year not in (2010, (-5))", ask("year", lambda v: v not in (2010, -5))),
    ('"wing span" > .25', ask("wing span", lambda v: v > 0.25)),
    ("`wing span` < 1", ask("wing span", lambda v: v < 1)),
    ("`WING span` = -2.5E-1", ask("wing span", lambda v: v == -0.25)),
    ("Größe.cm = 9007199254740993", ask("Größe.cm", lambda v: v == 2**53 + 1)),
    ('"größe.CM" < 0', ask("Größe.cm", lambda v: v < 0)),
    ("count > -1", ask("count", lambda v: True)),
    ("count >= 1e15", ask("count", lambda v: v > 7)),
    ("count = 7", ask("count", lambda v: v == 7)),
    ("year = Größe.cm or year < `wing span`", lambda r: r.get("year") == -5),
    ("kind = 'O''Brien 100%'", ask("kind", lambda v: v == "O'Brien 100%")),
    (r"kind = 'a_b\c'", ask("kind", lambda v: v == r"a_b\c")),
    ("kind = 'Äpfel\nund ß'", ask("kind", lambda v: v.startswith("Ä"))),
    ("kind = ''", ask("kind", lambda v: v == "")),
    ("kind != 'x'", ask("kind", lambda v: True)),
    ("kind > 'O'", ask("kind", lambda v: v > "O")),
    ("Kind = kind or Kind = 'x'", ask("Kind", lambda v: v == "x")),
    ("kind in ('a', 'O''Brien 100%', '')", ask("kind", lambda v: v in ("", "O'Brien 100%"))),
    ("kind like '%100\\%'", ask("kind", lambda v: v.endswith("100%"))),
    ("kind like 'a\\_b\\\\_'", ask("kind", lambda v: v == r"a_b\c")),
    ("kind like '%o''b%'", lambda r: False),
    ("kind ilike '%o''b%'", ask("kind", lambda v: "O'B" in v)),
    ("kind ilike 'äPFEL_und%'", ask("kind", lambda v: v.startswith("Ä"))),
    ("kind not like '%b%'", ask("kind", lambda v: "b" not in v.replace("B", ""))),
    ("not (kind not ilike '%B%')", ask("kind", lambda v: "b" in v.lower())),
    ("kind like ''", ask("kind", lambda v: v == "")),
    ("order = 'a' or ORDER = ''''", ask("order", lambda v: v in "a'")),
    ('"odd ""`name`" = \'a\'', ask('odd "`name`', lambda v: v == "a")),
    ("`odd \"``name``` = '-- ; '''", ask('odd "`name`', lambda v: v != "a")),
    ("indoor", ask("indoor", lambda v: v)),
    ("not indoor", ask("indoor", lambda v: not v)),
    ("indoor = FALSE", ask("indoor", lambda v: not v)),
    ("indoor in (true)", ask("indoor", lambda v: v)),
    ("indoor or not indoor", ask("indoor", lambda v: True)),
    ("date > '2000-01-01'", ask("date", lambda v: v > date(2000, 1, 1))),
    ("date = '0001-01-02'", ask("date", lambda v: v == date(1, 1, 2))),
    ("date < '9999-12-31T00:00:01'", ask("date", lambda v: True)),
    ("date = '2020-01-01T00:00:01'", lambda r: False),
    ("date between '0001-01-01' and '2020-01-01'", ask("date", lambda v: v.year <= 2020)),
    ("date in ('2020-01-01', '9999-12-31')", ask("date", lambda v: v.year > 1)),
    ("seen.at = '2020-01-01 12:00'", ask("seen.at", lambda v: v.year == 2020)),
    ("seen.at > '2020-01-01T13:59:59.999999+02:00'", ask("seen.at", lambda v: v.year >= 2020)),
    ("seen.at > '2020-01-01T14:00+02:00'", ask("seen.at", lambda v: v.year > 2020)),
    ("`seen.at` <= '9999-12-31T23:59:59.999998'", ask("seen.at", lambda v: v.year < 9999)),
    ("zoned > '1600-05-04' and zoned < '1600-05-06'", ask("zoned", lambda v: v.year == 1600)),
    ("zoned = '2020-01-01T12:00:00Z'", ask("zoned", lambda v: v.hour == 12)),
    ("zoned <= seen.at", lambda r: r.get("zoned") is not None and r["zoned"].replace(tzinfo=None) <= r["seen.at"]),
    ("date < seen.at", lambda r: r.get("year") in (2010, -5)),
    ("contains(tags, 'red')", ask("tags", lambda v: "red" in v)),
    ("CONTAINS(tags, 'it''s')", ask("tags", lambda v: "it's" in v)),
    ("not contains(tags, 'red')", ask("tags", lambda v: "red" not in v)),
    ("tags is null", lambda r: r.get("tags") is None),
    ("camera is not null", lambda r: r.get("camera") is not None),
    ("kind is null or kind is not null", lambda r: True),
    ("not kind is null and not (date is not null)", lambda r: r.get("kind") is not None and r.get("date") is None),
    ("true", lambda r: True),
    ("not true or false", lambda r: False),
    ("year > 2010 and kind = '' or indoor and year = 2010", lambda r: r.get("year") in (2010, 2011)),
    ("year > 2010 and (kind = '' or indoor) and not not year = 2011", lambda r: r.get("year") == 2011),
    (" \t\n((year)) = ((2010)) ", ask("year", lambda v: v == 2010)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "predicate"), GOOD, ids=[text for text, _ in GOOD])
def test_a_condition_is_what_it_says(items, text, predicate):
    assert matching(items, text) == [n for n, row in enumerate(ROWS) if predicate(row)]


def test_names_go_by_case_first():
    assert compile_where("kind = 'a'", COLUMNS) == "`kind` = 'a'"
    assert compile_where("Kind = 'a'", COLUMNS) == "`Kind_2` = 'a'"


BAD = [
    ("", "is empty"), (" \n", "is empty"), ("()", "lists"), (";", "';' has no place"), ("-- year", "says nothing"),
    ("year > 2010; drop table items", "';'"), ("year > 2010;", "';'"), ("year > 2010 -- or so", "comments"), ("year /* x */ > 1", "comments"),
    ("year > 2010 /*", "not closed"), ("kind = 'a", "not closed"), ('"year > 1', "not closed"), ("kind = 'a\0'", "NUL"), ("kind = '\ud800'", "surrogate"),
    ("year = '2010'", "year holds a number and was compared with '2010'; write year = 2010, not year = '2010'"),
    ("'2010' < year", "write year > 2010, not year > '2010'"), ("year in (1, 'a')", "'a'"), ("year between 1 and 'b'", "'b'"),
    ("kind = 5", "write kind = '5', not kind = 5"), ("kind = -5", "compared with -5"), ("kind = TRUE", "compared with TRUE"), ("kind in ('a', 5)", "kind = '5'"),
    ("indoor = 1", "write indoor = TRUE"), ("indoor = 'true'", "write indoor = TRUE"), ("date > 2020", "write date > '2020-12-31'"),
    ("date > '2020'", "date holds a date, and '2020' is none"), ("date > 'soon'", "'soon'"), ("date > '2020-02-30'", "2020-02-30"), ("date > 2020-01-01", "arithmetic"),
    ("date = '0001-01-01T00:00+02:00'", "is none"), ("year > kind", "compared with kind, a text"), ("kind = year", "compared with year, a number"),
    ("kind = dog", "a text goes in single quotes: kind = 'dog'"), ('kind = "dog"', "kind = 'dog'"), ("kind = ‘dog’", "kind = 'dog'"),
    ("yaer > 3", "no column 'yaer'; did you mean 'year'\\?"), ("zzz = 1", "there are year, \"wing span\", \"Größe.cm\", count"), ("KIND = 'a'", "'KIND' may be any of kind, Kind"),
    ("id = '1'", "no column 'id'"), ("vectors__photo is null", "no column"), ("wing_span > 1", "no column 'wing_span'"),
    ("tags = 'red'", "write contains\\(tags, 'x'\\)"), ("tags in ('red')", "list"), ("tags", "list"), ("tags like 'r%'", "list"), ("contains(kind, 'x')", "write kind LIKE '%x%'"),
    ("contains(year, 'x')", "year is none"), ("contains(tags, 5)", "not 5"), ("contains(tags, kind)", "not kind"), ("contains(tags)", "cannot be read"), ("contains()", "cannot be read"),
    ("contains(tags, 'a', 'b')", "more than a list column and one text"), ("contains('a', tags)", "contains needs a column"), ("contains(tags, 'a') = true", "= needs a column"),
    ("camera = 'x'", "camera is a record"), ("camera.make = 'x'", "'camera' has no fields"), ("camera", "record"), ("a.b.c.d.e = 1", "DOT"),
    ("year = null", "write year IS NULL or year IS NOT NULL"), ("kind in ('a', null)", "nothing equals NULL"), ("null", "NULL alone is no condition"), ("kind like null", "LIKE takes a text"),
    ("indoor is true", "write indoor = TRUE"), ("year is 5", "IS goes with NULL alone"), ("year is distinct from 5", "'distinct'"), ("5 is null", "IS NULL needs a column"),
    ("year", "alone is no condition; write year = 2010"), ("not kind", "alone is no condition"), ("'a'", "'a' alone is no condition"), ("1", "1 alone"), ("1 = 1", "= needs a column"), ("'a' = 'a'", "needs a column"),
    ("(year > 1) = true", "not TRUE"), ("year = 1 = 2", "= needs a column"), ("(year > 1) = (year > 2)", "not another condition"), ("year + 1 > 3", "'\\+'"), ("year - 1 > 3", "arithmetic"), ("year * 2 = 4", "'\\*'"), ("year = - -5", "--5"), ("-year = 5", "needs a column"),
    ("year = NaN", "no column 'NaN'"), ("year = Infinity", "no column 'Infinity'"), ("year < 1e999", "too large"), ("year = 1" + "0" * 400, "too large"), ("year = 1e", "'1e' is not a number"), ("year = ²", "not a number|no column"),
    ("year = 0x1F", "side by side"), ("year = 1_000", "side by side"), ("year = 1 2", "at '2'"), ("year =", "cannot be read"), ("= 1", "cannot be read"), ("and", "cannot be read"), ("year > (3", "cannot be read"), ("year > 3)", "cannot be read"), ("year in (", "cannot be read"),
    ("year in ()", "IN without a list"), ("year in 5", "IN without a list"), ("year in tags", "IN without a list"), ("(year, kind) in ((1, 'a'))", "lists|tuple"), ("year in (select id from items)", "'select'"), ("exists (select 1)", "'exists'"),
    ("select * from items", "'select'"), ("year = 1 union select 1", "'union'"), ("drop table items", "'drop'"), ("lower(kind) = 'a'", "function 'lower'"), ("sleep(10)", "function 'sleep'"), ('"lower"(kind) = \'a\'', "function 'lower'"), ("year(date) = 1", "function 'year'"),
    ("order(kind) = 'a'", "function 'order'"), ("cast(year as text) = '1'", "'cast'|as"), ("year::text = '1'", "'::'"), ("case when indoor then true end", "'case'"), ("kind || 'a' = 'b'", "'||'"), ("kind = 'a' 'b'", "two texts"), ("kind ~ 'a'", "'~'"), ("kind rlike 'a'", "'rlike'"),
    ("kind similar to 'a'", "'SIMILAR TO'"), ("kind = ?", "'\\?'"), ("kind = :x", "':'"), ("kind = @x", "'@'"), ("kind = $1", "'\\$|no column"), ("kind = {x}", "'{'"), ("kind = N'a'", "'a' has no place"), ("kind = E'a'", "cannot be read|side by side"), ("tags[1] = 'a'", "'\\['"), ("kind = [a]", "'\\['"),
    ("year = current_date", "'current_date'"), ("rank() over (order by year) = 1", "function 'rank'"), ("date > date '2020-01-01'", "cannot be read|side by side"), ("date > interval '1 day'", "'interval'"), ("year <=> 1", "'<=>'"), ("year ! 1", "'!'"),
    ("year between symmetric 1 and 2", "BETWEEN|cannot"), ("kind like 'a' escape '|'", "'escape'"), ("kind like any ('a')", "'any'"), ("year like '1%'", "does not go with LIKE"), (r"kind like 'a\b'", "backslash"), ("kind like 'a\\'", "backslash"),
    ("kind like '" + "%_" * 200 + "'", "400 characters"), ("kind = 'a' or 1=1 --", "comments"), ("kind = 'a' or 1=1", "needs a column"), ("' or ''='", "alone is no condition"), ("`year` = 1 `", "not closed"), ("year = 1 year", "cannot be read|side by side"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), BAD, ids=[ascii(text)[:60] for text, _ in BAD])
def test_what_is_refused_and_why(text, says):
    with pytest.raises(ManymodalError, match=says):
        compile_where(text, COLUMNS)


MANY = [
    "(" * 1_000, "(" * 900 + "year = 1" + ")" * 900, "NOT " * 450 + "indoor", "NOT (" * 300 + "indoor", "(NOT " * 300, "year = " + "- " * 900 + "1", "year = " + "-(" * 600,
    "contains(" * 200, "year in (" * 200, "year = 1 and " * 150 + "indoor", "year = " * 280 + "1", "year between " * 150, "year is " * 240, "kind like " * 190, ")" * 500 + "(" * 500, "a." * 900 + "b = 1",
    "year in (" + "1," * 980, "indoor or (" * 180, "'" * 1_999, '"' * 1_999, "`" * 1_999, "--" * 999, "/*" * 999, "not not contains(" * 100, "year = 1" * 240,
]  # fmt: skip


@pytest.mark.parametrize("text", MANY, ids=[text[:20] for text in MANY])
def test_much_of_it_is_refused_at_once(text):
    with pytest.raises(ManymodalError):
        compile_where(text, COLUMNS)


def test_length_number_and_depth_are_bounded(items):
    with pytest.raises(ManymodalError, match="2,001 characters"):
        compile_where("year = 1" + " " * 1_993, COLUMNS)
    with pytest.raises(ManymodalError, match="65 comparisons"):
        compile_where(" or ".join(["year between 1 and 2"] * 65), COLUMNS)
    with pytest.raises(ManymodalError, match="nested too deeply"):
        compile_where("(" * 13 + "indoor" + ")" * 13, COLUMNS)
    assert matching(items, " or ".join(["year between 2010 and 2011"] * 64)) == [0, 4]
    assert matching(items, f"year in ({', '.join(['2011'] * 300)})") == [4]


@pytest.mark.parametrize(
    ("opening", "most"),
    [("(", 12), ("not (", 12), ("(not ", 11), ("not indoor and year > 1 or (", 12), ("indoor or year > 1 and not (", 12), ("(indoor and not (year > 1 or ", 6)],
)  # fmt: skip
def test_the_engine_takes_the_deepest_that_is_let_through(items, opening, most):
    def nested(depth):
        return opening * depth + "indoor" + ")" * depth * opening.count("(")

    matching(items, nested(most))
    with pytest.raises(ManymodalError, match="nested too deeply"):
        compile_where(nested(most + 1), COLUMNS)


def test_a_parser_that_reads_more_is_refused():
    """A part of a node that is not known here (as sqlglot's third argument of contains) never goes unnoticed."""
    from sqlglot import exp

    from manymodal.index.where_tree import NODES

    tree = exp.Contains(this=exp.column("tags"), expression=exp.Literal.string("a"), json_scope=exp.Literal.string("b"))
    assert {key for key, value in tree.args.items() if value} - NODES[tree.key] == {"json_scope"}
    kinds = {kind.key for kind in vars(exp).values() if isinstance(kind, type) and issubclass(kind, exp.Expr)}
    assert set(NODES) <= kinds  # no name that sqlglot has given up


# -- arbitrary text -------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [*COLUMNS, "(", ")", "and", "or", "not", "in", "between", "like", "is", "null", "true", "=", "<", "-", ".", ",", "'a'", '"b"', "`c`", "1", "1e5", "contains", "date", "select", "*", ";", "--",
     "{", "}", "[", "]", "case", "when", "end", "cast", "as", "::", "interval", "{%", "#}", "$$", "E'", "\\", "?", ":", "@", "over", "escape", "\n", "’"]
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        st.text(st.characters(), max_size=60),
        st.lists(WORDS, max_size=40).map(" ".join),
        st.lists(WORDS, max_size=40).map("".join),
    )
)
def test_any_text_is_a_filter_or_refused(items, text):
    try:
        compile_where(text, COLUMNS)
    except ManymodalError as error:
        assert len(str(error)) < 700
    else:
        matching(items, text)
