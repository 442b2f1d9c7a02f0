"""The example of docs/sdf-laws.md passes as it stands there, and fails as the page says that it does."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.kinesis.testing import LAWS, LawError, every_split

PAGE = (Path(__file__).parents[2] / "docs/sdf-laws.md").read_text()


def module(example: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(example, "docs/sdf-laws.md", "exec"), names)
    return names


def the(pattern: str) -> str:
    (found,) = re.findall(pattern, PAGE, flags=re.DOTALL | re.MULTILINE)
    return str(found)


EXAMPLE = the(r"^```python\n(.*?)^```")


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_example_keeps_the_law(law: Any) -> None:
    module(EXAMPLE)["test_lines_keep_the_law"](law=law)


def test_the_mistake_that_the_page_names_is_told_as_it_says() -> None:
    wrong, right = re.findall(r'`(text\.find\("\\n", at[^`]*\))`', PAGE)
    assert right in EXAMPLE
    lines_case = module(EXAMPLE.replace(right, wrong))["LinesCase"]
    with pytest.raises(LawError) as raised:
        every_split(lambda: lines_case("\na"))
    assert f"{raised.value}\n" == the(r"^```\n(the law .*?)^```")


def test_each_law_has_its_row() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE) == [law.__name__ for law in LAWS]
