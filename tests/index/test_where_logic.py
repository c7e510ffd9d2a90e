"""Random filters over random rows, in LanceDB, against SQL's logic of true, false and null in plain Python."""

import re
from datetime import date, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filters import COLUMNS, matching, table
from manymodal.errors import ManymodalError
from manymodal.index.where import compile_where

TEXTS = st.text("ab'\\%_ \nÉé\";-", max_size=3)
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, -2.5, 1e300, 2**62 + 1, -(2**63), 2**63 - 1]))
DATES = st.sampled_from([date(1, 1, 1), date(1600, 2, 29), date(2020, 1, 1), date(2020, 1, 2), date(9999, 12, 31)])
MOMENTS = st.builds(
    datetime.combine, DATES, st.sampled_from([datetime(1, 1, 1).time(), datetime(1, 1, 1, 12, 30, 0, 5).time()])
)
WHOLE = NUMBERS.filter(lambda v: isinstance(v, int))
VALUES = {
    "year": WHOLE, "Größe.cm": WHOLE, "wing span": st.one_of(st.sampled_from([0.5, -2.5, 1.0, 1e300]), st.integers(-3, 3).map(float)), "kind": TEXTS, "order": TEXTS,
    "indoor": st.booleans(), "date": DATES, "seen.at": MOMENTS, "tags": st.lists(TEXTS, max_size=2), "camera": st.just({"make": "x"}),
}  # fmt: skip
LITERALS = VALUES | {"year": NUMBERS, "Größe.cm": NUMBERS, "wing span": NUMBERS, "date": MOMENTS}
SIGNS = ["=", "!=", "<>", "<", "<=", ">", ">="]


@st.composite
def leaves(draw):
    """(text, function of a row that gives True, False or None)"""
    name = draw(st.sampled_from(sorted(VALUES)))
    bare = f'"{name}"' if " " in name else name
    kind = draw(st.sampled_from(["sign", "turned", "in", "between", "like", "null"]))
    no = draw(st.sampled_from(["", "not "]))
    if kind == "null" or name == "camera":
        return f"{bare} is {no}null", lambda row: (row.get(name) is None) != bool(no)
    if name == "tags":
        value = draw(TEXTS)
        return f"{no}contains(tags, {written(value)})", lifted(lambda row: (value in row) != bool(no), name)
    if kind == "like" and name in ("kind", "order"):
        word = draw(st.sampled_from(["like", "ilike"]))
        pattern = "".join(
            draw(st.lists(st.sampled_from(["a", "É", "é", "'", "%", "_", r"\%", r"\_", r"\\"]), max_size=3))
        )
        found = re.compile(regex(pattern), re.DOTALL | (re.IGNORECASE if word == "ilike" else 0))
        return f"{bare} {no}{word} {written(pattern)}", lifted(lambda v: bool(found.fullmatch(v)) != bool(no), name)
    values = draw(st.lists(LITERALS[name], min_size=2, max_size=3))
    if kind == "in":
        return f"{bare} {no}in ({', '.join(map(written, values))})", lifted(
            lambda v: (v in map(moment, values)) != bool(no), name
        )
    if kind == "between":
        low, high = map(moment, values[:2])
        return f"{bare} {no}between {written(values[0])} and {written(values[1])}", lifted(
            lambda v: (low <= v <= high) != bool(no), name
        )
    sign = draw(st.sampled_from(SIGNS))
    value = moment(values[0])
    if kind == "turned":
        return f"{written(values[0])} {sign} {bare}", lifted(lambda v: compared(value, sign, v), name)
    return f"{bare} {sign} {written(values[0])}", lifted(lambda v: compared(v, sign, value), name)


def compared(left, sign, right):
    return {
        "=": left == right,
        "!=": left != right,
        "<>": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[sign]


def moment(value):
    return datetime.combine(value, datetime.min.time()) if type(value) is date else value


def lifted(test, name):
    return lambda row: None if row.get(name) is None else test(moment(row[name]))


def written(value):
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + (value if isinstance(value, str) else value.isoformat()).replace("'", "''") + "'"


def regex(pattern):
    pieces = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join({"%": ".*", "_": "."}.get(piece, re.escape(piece[-1])) for piece in pieces)


def negation(of):
    text, test = of
    return f"not ({text})", lambda row: None if test(row) is None else not test(row)


def junction(parts, word):
    texts, tests = zip(*parts, strict=True)
    decisive = word == "or"

    def test(row):
        found = [one(row) for one in tests]
        return decisive if decisive in found else None if None in found else not decisive

    return "(" + f" {word} ".join(texts) + ")", test


CONDITIONS = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        inner.map(negation),
        st.builds(junction, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["and", "or"])),
    ),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=8),
    conditions=st.lists(CONDITIONS, min_size=1, max_size=6),
)
def test_the_same_as_three_valued_logic(tmp_path_factory, rows, conditions):
    made = table(tmp_path_factory.getbasetemp() / "random_where", rows)
    for text, test in conditions:
        try:
            compile_where(text, COLUMNS)
        except ManymodalError as error:
            assert "nested too deeply" in str(error)
            continue
        assert matching(made, text) == [n for n, row in enumerate(rows) if test(row)], text
