"""Words and bytes: what stores of one text have in common when their tokenizers differ.

A word is a maximal run of non-blank characters with the blanks before it, so words partition a
text. A token's loss belongs to its word; a token that covers several words is shared out by UTF-8
bytes. So the words of a document sum to what its tokens sum to. Bits per byte are summed nats / ln
2 / bytes of what was scored: a first token without a loss takes its bytes out of the denominator.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from queries import sql
from queries.engine.sums import GroupSums, Summation
from queries.errors import GroupError
from queries.store import Store


@dataclass(frozen=True)
class Words:
    """The words of a store, and the share of each token's loss that belongs to each of them."""

    store: Store
    frame: pd.DataFrame
    """The view `words`, in the text's order, with n_bytes_scored: bytes that have a loss."""
    rows: np.ndarray
    """Of a token's share in a word: the token's row, int64 (shares,), increasing."""
    words: np.ndarray
    """The word's place in `frame`, int64 (shares,)."""
    shares: np.ndarray
    """The share of the token's loss, float64 (shares,); those of one token sum to 1."""

    def losses(self, checkpoint: int) -> np.ndarray:
        """Each word's loss in nats at a checkpoint, float64 (words,). Raises QueryError.

        A word of which nothing was scored has the loss 0.
        """
        column = self.store.matrix.column(checkpoint)
        weights = self.shares * column[self.rows]
        found: np.ndarray = np.bincount(self.words, weights, minlength=len(self.frame))
        return found

    def members(self, clause: str) -> np.ndarray:
        """Places of the words for which an SQL condition over `words` is true, int64, increasing.

        Only words that were scored as a whole. Raises GroupError, also if there are none.
        """
        found = self.store.words_where(clause)
        keys = pd.MultiIndex.from_frame(found[["source", "word"]])
        places = np.sort(self._index.get_indexer(keys)).astype(np.int64)
        whole: np.ndarray = places[self.is_whole[places]]
        if not len(whole):
            raise GroupError(
                f"`{clause}` selects none of the {int(self.is_whole.sum()):,} words that were "
                "scored as a whole: widen it, or look at some with select * from words limit 10"
            )
        return whole

    def sums(self, places: np.ndarray, of: np.ndarray | None = None) -> GroupSums:
        """Losses of words summed within each source document, at every checkpoint, in nats.

        `places` int64 (n,); `of` int64 (words,) is what each word counts as, by default 1.
        """
        chosen = np.zeros(len(self.frame), dtype=bool)
        chosen[places] = True
        used = chosen[self.words]
        sources, n_sources = self.source_of_word, len(self.store.sources)
        summation = Summation(self.store.matrix, self.store.source_of_row)
        sums = summation.by_slot(
            self.rows[used], sources[self.words[used]], n_sources, self.shares[used]
        )
        counts = np.ones(len(self.frame)) if of is None else of
        weights = np.bincount(sources[places], counts[places], minlength=n_sources)
        return GroupSums(weights.astype(np.int64), sums)

    @cached_property
    def source_of_word(self) -> np.ndarray:
        """A place in `store.sources` of each word, int64 (words,); -1 if it has no token."""
        place = pd.Index(self.store.sources).get_indexer(pd.Index(self.frame["source"]))
        return np.asarray(place, dtype=np.int64)

    @property
    def is_whole(self) -> np.ndarray:
        """Whether all bytes of a word were scored, bool (words,)."""
        found: np.ndarray = (self.frame["n_bytes_scored"] == self.frame["n_bytes"]).to_numpy()
        return found

    @cached_property
    def _index(self) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(self.frame[["source", "word"]])


def words_of(store: Store) -> Words:
    """The words of a store's text, and its tokens' shares in them."""
    frame = store.sql(sql.read("text/words"))
    spans = store.sql(sql.read("text/token_spans"))
    text = _Text.of(frame)
    starts, ends = text.places(spans)
    first = np.searchsorted(text.starts, starts, side="right") - 1
    last = np.searchsorted(text.starts, np.maximum(ends - 1, starts), side="right") - 1
    n_words = last - first + 1
    rows = np.repeat(spans["row"].to_numpy(np.int64), n_words)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(n_words) - n_words, n_words)
    words = np.repeat(first, n_words) + within
    shares = text.shares(np.repeat(starts, n_words), np.repeat(ends, n_words), words)
    whole = np.repeat(np.add.reduceat(shares, np.cumsum(n_words) - n_words), n_words)
    # A token of no character, such as a blank that SentencePiece puts in front, has one word.
    shares = np.divide(shares, whole, out=np.ones_like(shares), where=whole > 0)
    scored = text.scored_bytes(starts, ends)
    return Words(store, frame.assign(n_bytes_scored=scored), rows, words, shares)


@dataclass(frozen=True)
class _Text:
    """All source documents' texts one after the other; places count characters from their start."""

    characters: str
    starts: np.ndarray
    """Of the words, int64 (words,)."""
    documents: dict[str, int]
    """Source document -> its start."""

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "_Text":
        texts = frame["text"].tolist()
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        starts = ends - [len(text) for text in texts]
        first = ~frame["source"].duplicated().to_numpy()
        begins = dict(zip(frame["source"][first], starts[first].tolist(), strict=True))
        return cls("".join(texts), starts, begins)

    def places(self, spans: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Start and end of each token, int64 (tokens,) each."""
        begins = spans["source"].map(self.documents).to_numpy(np.int64)
        starts, ends = (begins + spans[c].to_numpy(np.int64) for c in ("char_start", "char_end"))
        limit = len(self.characters)
        return np.minimum(starts, limit - 1), np.minimum(ends, limit)

    def shares(self, starts: np.ndarray, ends: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Bytes that the tokens from `starts` to `ends` have in `words`, float64."""
        low = np.maximum(starts, self.starts[words])
        high = np.minimum(ends, self._word_ends[words])
        found: np.ndarray = (self._bytes[high] - self._bytes[low]).astype(np.float64)
        return found

    def scored_bytes(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Bytes of each word in the text of tokens with a loss, int64 (words,).

        Some tokenizers' tokens do not include the blanks before them. There, a blank counts as
        scored if the character after the blanks is.
        """
        n = len(self.characters)
        change = np.zeros(n + 1, dtype=np.int64)
        np.add.at(change, starts, 1)
        np.add.at(change, ends, -1)
        blank = np.fromiter((c.isspace() for c in self.characters), dtype=bool, count=n)
        covered = np.cumsum(change[:-1]) > 0
        if not (blank[starts] & ~blank[np.maximum(ends - 1, starts)]).any():
            after = np.minimum.accumulate(np.where(blank, n, np.arange(n))[::-1])[::-1]
            covered |= blank & np.append(covered, True)[after]
        scored = np.append(0, np.cumsum(np.diff(self._bytes) * covered))
        found: np.ndarray = scored[self._word_ends] - scored[self.starts]
        return found

    @cached_property
    def _word_ends(self) -> np.ndarray:
        return np.append(self.starts[1:], len(self.characters))

    @cached_property
    def _bytes(self) -> np.ndarray:
        """UTF-8 bytes before each character and at the end, int64 (characters + 1,)."""
        codes = np.frombuffer(self.characters.encode("utf-32-le"), dtype=np.uint32)
        sizes = 1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF)
        return np.append(0, np.cumsum(sizes, dtype=np.int64))
