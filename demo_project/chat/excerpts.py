"""Extract the part of a section that answers a question, as plain text."""

from __future__ import annotations

import re

from demo_project.chat.search import terms

LENGTH = 900  # characters, about


def excerpt(markdown: str, question: str) -> str:
    """Return the blocks of a section that fit ``question`` best, in their order.

    Code stays between its fences.
    """
    blocks = _blocks(markdown)
    if sum(map(len, blocks)) <= LENGTH:
        return "\n\n".join(blocks)
    words = [word[:6] for word in terms(question)]
    # The first block introduces the section, and code belongs to the block before it.
    scores = [
        sum(word in block.lower() for word in words) + (number == 0)
        for number, block in enumerate(blocks)
    ]
    for number, block in enumerate(blocks[1:], 1):
        if block.startswith("```"):
            scores[number] = max(scores[number], scores[number - 1])
    kept, room = set[int](), LENGTH
    for number in sorted(range(len(blocks)), key=lambda number: -scores[number]):
        if not kept or (scores[number] and len(blocks[number]) <= room):
            kept.add(number)
            room -= len(blocks[number])
    return "\n\n".join(block for number, block in enumerate(blocks) if number in kept)


def _blocks(markdown: str) -> list[str]:
    found: list[str] = []
    for part in re.split(
        r"^( *```.*?^ *```)$",
        re.sub(r"^ *<!--.*?-->\n", "", markdown, flags=re.MULTILINE),
        flags=re.MULTILINE | re.DOTALL,
    ):
        if part.lstrip().startswith("```"):
            indent = len(part) - len(part.lstrip())
            found.append("\n".join(line[indent:] for line in part.splitlines()))
        else:
            found += [
                plain
                for block in re.split(r"\n{2,}|\n(?=\||- |\d+\. )", part)
                if (plain := _plain(block))
            ]
    return found


def _plain(block: str) -> str:
    text = " ".join(line.strip() for line in block.strip().splitlines())
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)  # links
    text = re.sub(r"`([^`]+)`", r"\1", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"\1", text)
    if text.startswith("|"):
        cells = [
            cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", text.strip("| "))
        ]
        text = "" if set("".join(cells)) <= set("-: ") else f"• {': '.join(filter(None, cells))}"
    return re.sub(r"^- ", "• ", text)
