"""Scores one answer of the task TASK_NAME; the reward service runs it in a process of its own.

`item` has "answer_text", "reference" (as in data.jsonl), "prompt" and "answer" (turns with their
parts; media as base64), "task", "item_id". Return a number, a dict with "reward" and
"subscores", or None to abstain. Raise for what cannot be judged: it is then no score, not zero.
"""

from typing import Any


def score(item: dict[str, Any]) -> float:
    """1 for the right number, a little for any number, 0 for other words."""
    answer = item["answer_text"].strip().rstrip(".")
    if answer == item["reference"]["answer"]:
        return 1.0
    return 0.1 if answer.isdigit() else 0.0
