"""Rows as the decoder of one version makes them, as that of another would have made them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.schema.contract import Feature, Schema

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Translated:
    """Rows for the other version: the matrix [N, F], and which rows, [N], are not to be asked.

    Their cells mean nothing.
    """

    matrix: Matrix
    refused: Mask
    """Rows that the other version refuses."""
    lost: Mask
    """Rows with a text that is unknown to the version whose decoder made the matrix, which does not
    say it, and that the other one may know. None of them is refused for another reason."""


class Translation:
    """From the matrix of one schema to that of another; both have the same contract.

    That is the same features, in any order, of the same types, and the same classes. What either
    takes may differ.
    """

    def __init__(self, source: Schema, target: Schema) -> None:
        places = {feature.name: place for place, feature in enumerate(source.features)}
        features = target.features
        self._places = np.array([places[feature.name] for feature in features], np.intp)
        self._not_nullable = np.array([not feature.nullable for feature in features])
        numbers = [place for place, feature in enumerate(features) if feature.type == "number"]
        self._numbers = np.array(numbers, np.intp)
        self._low = np.array([features[place].low for place in numbers])
        self._high = np.array([features[place].high for place in numbers])
        self._texts = [
            (place, _Codes(source.features[places[feature.name]], feature, target))
            for place, feature in enumerate(features)
            if feature.type == "text"
        ]

    def translate(self, rows: Matrix) -> Translated:
        """Translate rows, [N, F], which are left as they are."""
        # Unlike rows[:, places], row by row in memory, as classifiers read them.
        matrix: Matrix = np.take(rows, self._places, axis=1)
        refused = (np.isnan(matrix) & self._not_nullable).any(axis=1)
        numbers = np.take(matrix, self._numbers, axis=1)
        refused |= ((numbers < self._low) | (numbers > self._high)).any(axis=1)
        lost = np.zeros(len(matrix), np.bool_)
        for place, codes in self._texts:
            cells = matrix[:, place]
            found = np.where(np.isnan(cells), -2, cells).astype(np.intp)
            matrix[:, place] = codes.codes[found]
            refused |= codes.refused[found]
            lost |= codes.lost[found]
        return Translated(matrix, refused, lost & ~refused)


class _Codes:
    """What becomes of each code of a text: the categories', missing second last, unknown last.

    So -2 and -1 index them as they are.
    """

    def __init__(self, source: Feature, target: Feature, schema: Schema) -> None:
        known = {text: code for code, text in enumerate(target.categories)}
        codes = [known.get(text, -1) for text in source.categories]
        self.codes = np.array([*codes, np.nan, -1.0])
        refuses = schema.unknown_categories == "refuse"
        self.refused = np.isin(self.codes, -1.0) & refuses
        self.lost = np.zeros(len(self.codes), np.bool_)
        if not known.keys() <= set(source.categories):
            self.refused[-1], self.lost[-1] = False, True


def class_indexes(source: Schema, target: Schema) -> Labels:
    """Return the index in `target` of each class of `source`, [K]."""
    # True and 1 are equal, and two classes.
    places = {(type(label), label): index for index, label in enumerate(target.classes)}
    return np.array([places[type(label), label] for label in source.classes], np.int64)
