"""How words are pronounced, in the symbols of ARPAbet; a word not listed is read by letter.

The words of the world's questions, captions and answers are listed, and a few more.
"""

import re

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TOKEN = re.compile(r"[a-z]+|[0-9]|[,;:.?!]")
_PAUSES = frozenset(",;:.?!")

LEXICON: dict[str, str] = {
    # Colors, shapes, sizes and relations
    "red": "R EH D",
    "green": "G R IY N",
    "blue": "B L UW",
    "yellow": "Y EH L OW",
    "purple": "P ER P AH L",
    "cyan": "S AY AE N",
    "circle": "S ER K AH L",
    "square": "S K W EH R",
    "triangle": "T R AY AE NG G AH L",
    "cross": "K R AO S",
    "small": "S M AO L",
    "large": "L AA R JH",
    "above": "AH B AH V",
    "below": "B IH L OW",
    "left": "L EH F T",
    "right": "R AY T",
    "of": "AH V",
    "up": "AH P",
    "down": "D AW N",
    # Numbers
    "zero": "Z IH R OW",
    "one": "W AH N",
    "two": "T UW",
    "three": "TH R IY",
    "four": "F AO R",
    "five": "F AY V",
    "six": "S IH K S",
    "seven": "S EH V AH N",
    "eight": "EY T",
    "nine": "N AY N",
    # What questions are made of
    "what": "W AH T",
    "which": "W IH CH",
    "where": "W EH R",
    "how": "HH AW",
    "many": "M EH N IY",
    "is": "IH Z",
    "are": "AA R",
    "does": "D AH Z",
    "do": "D UW",
    "there": "DH EH R",
    "the": "DH AH",
    "a": "AH",
    "an": "AE N",
    "and": "AE N D",
    "in": "IH N",
    "to": "T UW",
    "it": "IH T",
    "color": "K AH L ER",
    "shape": "SH EY P",
    "size": "S AY Z",
    "thing": "TH IH NG",
    "things": "TH IH NG Z",
    "same": "S EY M",
    "way": "W EY",
    "move": "M UW V",
    "moves": "M UW V Z",
    "first": "F ER S T",
    "before": "B IH F AO R",
    "picture": "P IH K CH ER",
    "clip": "K L IH P",
    "look": "L UH K",
    "at": "AE T",
    "this": "DH IH S",
    "answer": "AE N S ER",
    "question": "K W EH S CH AH N",
    "describe": "D IH S K R AY B",
    "draw": "D R AO",
    "show": "SH OW",
    "please": "P L IY Z",
    "yes": "Y EH S",
    "no": "N OW",
}

_LETTERS: dict[str, str] = {
    **{"a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH"},
    **{"i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P"},
    **{"q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S"},
    **{"y": "IY", "z": "Z"},
}


def words_of(text: str) -> list[str]:
    """The words that are said, digits as words, and the marks at which a speaker pauses."""
    tokens = _TOKEN.findall(text.lower())
    return [DIGITS[int(token)] if token.isdigit() else token for token in tokens]


def is_pause(word: str) -> bool:
    """Whether it is a mark at which a speaker pauses."""
    return word in _PAUSES


def phonemes_of(word: str) -> list[str]:
    """The sounds of a word in lower case letters."""
    return (LEXICON.get(word) or " ".join(_LETTERS[letter] for letter in word)).split()
