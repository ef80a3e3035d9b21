"""The code that stands in documents."""

from __future__ import annotations

import re

from conftest import REPOSITORY


def python_blocks(document: str) -> list[str]:
    """The Python code of a document of the repository, block by block."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
