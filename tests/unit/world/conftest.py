"""Turns that answer, as fixtures would be too wordy to build in each test."""

from collections.abc import Callable

import pytest

from models.preprocessing.conversation import Role, Text, Turn


@pytest.fixture
def says() -> Callable[[str], Turn]:
    """Makes an assistant's turn of words."""
    return lambda text: Turn(Role.ASSISTANT, (Text(text),))
