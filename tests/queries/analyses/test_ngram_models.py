"""n-gram losses: they sum to one, leave out what they should, and know a planted text's entropy."""

import itertools
from collections import Counter

import numpy as np
import pytest

from store.ngrams import UNKNOWN, Bigrams, discount, ngram_losses

V = 9


def markov(n: int, seed: int, sources: int = 6) -> tuple[Bigrams, np.ndarray]:
    """A text whose bigrams have known probabilities, float64 (types before, types)."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(V, 0.3), V)
    ids = [0]
    for _ in range(n):
        ids.append(rng.choice(V, p=chances[ids[-1]]))
    text = np.array(ids)
    return Bigrams(text[:-1], text[1:], np.arange(n) * sources // n), chances


def everything(context: int | None = None) -> Bigrams:
    contexts = range(-1, V + 2) if context is None else [context]
    pairs = np.array(list(itertools.product(contexts, range(V))))
    return Bigrams(pairs[:, 0], pairs[:, 1], np.zeros(len(pairs), np.int64))


def test_probabilities_sum_to_one_in_known_and_unknown_contexts() -> None:
    text = markov(60, seed=1)[0]
    text = Bigrams(np.where(text.context == 3, UNKNOWN, text.context), text.token, text.source)
    unigram, bigram = ngram_losses(text, everything(), V, leave_out=False)
    np.testing.assert_allclose(np.exp(-unigram).reshape(-1, V).sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(-bigram).reshape(-1, V).sum(axis=1), 1)


def by_hand(
    text: Bigrams, context: int, token: int, d: tuple[float, float, float]
) -> tuple[float, float]:
    """Kneser-Ney written out, with the discounts of unigrams, pairs and preceding types."""
    count, n = Counter(text.token.tolist()), len(text.token)
    unigram = (max(count[token] - d[0], 0) + d[0] * len(count) / V) / n
    pairs = Counter((c, t) for c, t in zip(text.context, text.token, strict=True) if c >= 0)
    precede = Counter(t for _, t in pairs)
    lower = (max(precede[token] - d[2], 0) + d[2] * len(precede) / V) / len(pairs)
    of_context = sum(c for (before, _), c in pairs.items() if before == context)
    follow = sum(before == context for before, _ in pairs)
    if not of_context:
        return unigram, lower
    upper = max(pairs[context, token] - d[1], 0) / of_context
    return unigram, upper + d[1] * follow / of_context * lower


def test_leaving_a_document_out_equals_removing_it() -> None:
    text = markov(80, seed=2, sources=5)[0]
    text = Bigrams(np.where(np.arange(80) % 9 == 4, UNKNOWN, text.context), text.token, text.source)
    unigram, bigram = ngram_losses(text, text, V, leave_out=True)
    known = text.context >= 0
    pairs, counts = np.unique(text.context[known] * V + text.token[known], return_counts=True)
    d = (
        discount(np.unique(text.token, return_counts=True)[1]),
        discount(counts),
        discount(np.unique(pairs % V, return_counts=True)[1]),
    )
    for i in range(80):
        rest = text.source != text.source[i]
        left = Bigrams(text.context[rest], text.token[rest], text.source[rest])
        expected = by_hand(left, int(text.context[i]), int(text.token[i]), d)
        assert np.exp(-unigram[i]) == pytest.approx(expected[0])
        assert np.exp(-bigram[i]) == pytest.approx(expected[1])


def test_a_planted_text_is_modelled_near_its_entropy() -> None:
    text, chances = markov(20_000, seed=3)
    unigram, bigram = ngram_losses(text, text, V, leave_out=True)
    best = -np.log(chances[text.context, text.token]).mean()
    assert best < bigram.mean() < best + 0.01
    assert unigram.mean() > bigram.mean() + 0.2
    share = np.bincount(text.token, minlength=V) / len(text.token)
    assert unigram.mean() == pytest.approx(-(share * np.log(share)).sum(), abs=0.01)


def test_discounts() -> None:
    assert discount(np.array([1, 1, 2, 5])) == 0.5
    assert discount(np.array([1, 1, 1, 2])) == 0.6
    assert discount(np.array([3, 3])) == 0.5
