"""Make docs/results.md, and the README's table, from benchmarks/results/*.json (their form is documented in common.py).

python benchmarks/results_page.py            # writes both
python benchmarks/results_page.py --check    # exits with 1 when one is not what the results give
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import HERE, RESULTS, Cell
from manymodal.errors import ManymodalError
from manymodal.files import replacing

PAGE = HERE.parent / "docs" / "results.md"
README = HERE.parent / "README.md"
DEMO = ("<!-- demo: begin -->\n", "<!-- demo: end -->")  # around the first table of glyphs.json in the README
KEYS = {"name", "title", "versions", "hardware", "settings", "tables", "claims"}
HEAD = """\
# Results

Made by `python benchmarks/results_page.py` from `benchmarks/results/*.json`: change those, not this page.
How to run each benchmark is said in [benchmarks/README.md](../benchmarks/README.md). *a ± b* is the mean over seeds
and their standard deviation, *[a, b]* an interval of the mean.
"""


def page(results: list[dict[str, Any]]) -> str:
    """The whole page, one section a result."""
    if not results:
        return f"{HEAD}\nNo benchmark has been run yet.\n"
    claims = [claim for result in results for claim in result["claims"]]
    held = sum(claim["holds"] for claim in claims)
    summary = [f"**{held} of {len(claims)} claims hold.**"] if claims else []
    return "\n\n".join([HEAD.rstrip(), *summary, *(section(result) for result in results)]) + "\n"


def section(result: Mapping[str, Any]) -> str:
    """One benchmark: what it claims, its pictures and tables, and what it was run with and on."""
    parts = [f"## {result['title']}"]
    if result["claims"]:
        parts.append("\n".join(claim_line(claim) for claim in result["claims"]))
    parts += [f"![{picture['text']}]({picture['file']})" for picture in result.get("pictures", [])]
    for table in result["tables"]:
        parts += [f"### {table['title']}", *([table["note"]] if table["note"] else []), table_lines(table)]
    parts.append("\n".join(f"- {key}: {listed(result[key])}" for key in ("settings", "versions", "hardware")))
    return "\n\n".join(parts)


def claim_line(claim: Mapping[str, Any]) -> str:
    """A claim as an item of a list, with the measured value in its sentence."""
    percent = isinstance(claim["value"], Mapping) and claim["value"].get("percent", False)
    sentence = claim["text"].replace("{value}", shown(claim["value"]))  # not str.format: "{photo, en} -> zh" is a text
    sentence = sentence.replace("{threshold}", number(claim["threshold"], percent))
    return f"- {'holds' if claim['holds'] else '**does not hold**'}: {sentence}"


def table_lines(table: Mapping[str, Any]) -> str:
    """A table in Markdown, figures to the right."""
    rows = [table["columns"], *table["rows"]]
    head, *body = ["| " + " | ".join(shown(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    sides = [
        "---" if all(isinstance(row[column], str) for row in table["rows"]) else "---:"
        for column in range(len(table["columns"]))
    ]
    return "\n".join([head, f"| {' | '.join(sides)} |", *body])


def shown(cell: Cell) -> str:
    """A cell as a reader sees it."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str):
        return cell
    if not isinstance(cell, Mapping):
        return number(cell)
    percent = cell.get("percent", False)
    text = number(cell["mean"], percent)
    if cell.get("spread") is not None:
        text += f" ± {number(cell['spread'], percent)}"
    if cell.get("ci") is not None:
        text += f" [{', '.join(number(end, percent) for end in cell['ci'])}]"
    return text


def number(value: float, percent: bool = False) -> str:
    """A whole number as it is, a fraction in percent with one decimal, any other number with three digits."""
    if percent:
        return f"{100 * value:.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def listed(content: Any) -> str:
    """Settings, versions or hardware in a line."""
    if isinstance(content, Mapping):
        return ", ".join(
            f"{key} {f'({listed(v)})' if isinstance(v, Mapping) else listed(v)}" for key, v in content.items()
        )
    if isinstance(content, list):
        return " ".join(listed(value) for value in content) or "–"
    return shown(content)


def with_demo_table(readme: str, results: list[dict[str, Any]]) -> str:
    """The README with the glyph finder's table between its marks; unchanged where that was not measured."""
    begin, end = DEMO
    found = [result["tables"][0] for result in results if result["name"] == "glyphs"]
    if not found or begin not in readme:
        return readme
    before, rest = readme.split(begin, 1)
    return f"{before}{begin}{table_lines(found[0])}\n\n{found[0]['note']}\n{end}{rest.split(end, 1)[1]}"


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All results, in the order of their names.

    Raises:
        ManymodalError: a file is not a result.
    """
    results = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ManymodalError(f"{path.name} is not JSON: {error}; run its benchmark again") from error
        missing = KEYS - set(result)
        if missing:
            raise ManymodalError(f"{path.name} lacks {', '.join(sorted(missing))}; common.py says what a result holds")
        results.append(result)
    return results


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when the page is out of date")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--readme", type=Path, default=README)
    arguments = parser.parse_args()
    try:
        results = read_results(arguments.results)
        readme = arguments.readme.read_text(encoding="utf-8")
        for path, text in ((arguments.page, page(results)), (arguments.readme, with_demo_table(readme, results))):
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                continue
            if arguments.check:
                print(
                    f"{path.name} is not what the results give; run python benchmarks/results_page.py", file=sys.stderr
                )
                return 1
            with replacing(path) as aside:
                aside.write_text(text, encoding="utf-8")
    except ManymodalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
