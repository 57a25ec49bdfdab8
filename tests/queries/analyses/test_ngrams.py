"""n-gram losses of a store, saved as features, and their correlation with the model's losses."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from queries import QueryError, Store, ngrams
from queries.analyses.ngrams import correlation, save_ngrams
from queries.analyses.ngrams import ngram_losses as losses_of_store
from store.layout import Layout
from store.ngrams import UNKNOWN, bigrams_of_store, ngram_losses
from tests.queries.support.simulated import blank_store, with_losses
from tests.queries.support.stores import PlainSql, build_store


def test_the_context_of_each_token(store: Store, plain: PlainSql) -> None:
    layout = Layout(store.path)
    tokens, docs = pq.read_table(layout.tokens), pq.read_table(layout.docs)
    found = bigrams_of_store(tokens, docs, bos_id=99)
    ids, first = store.token_ids, tokens["position"].to_numpy() == 1
    assert (found.context[first] == 99).all()
    assert found.context[~first].tolist() == ids[np.flatnonzero(~first) - 1].tolist()
    assert (bigrams_of_store(tokens, docs, None).context[first] == UNKNOWN).all()
    ((n_sources,),) = plain.connection.sql("select count(distinct source) from long").fetchall()
    assert len(np.unique(found.source)) == n_sources
    # Of a doc without a BOS the first token has no row; its text says which it was.
    later = tokens.filter(pa.array(~first))
    again = bigrams_of_store(later, docs, None)
    assert again.context.tolist() == found.context[~first].tolist()


def test_ngrams_are_estimated_from_other_documents_and_become_features(own: Path) -> None:
    store = Store(own)
    found = losses_of_store(store)
    layout = Layout(own)
    text = bigrams_of_store(pq.read_table(layout.tokens), pq.read_table(layout.docs), None)
    unigram, bigram = ngram_losses(text, text, int(text.token.max()) + 1, leave_out=True)
    assert found["unigram_loss"].tolist() == unigram.tolist()
    assert found["bigram_loss"].tolist() == bigram.tolist()
    save_ngrams(store)
    hard = Store(own).members("bigram_loss > unigram_loss")
    assert hard.tolist() == np.flatnonzero(bigram > unigram).tolist()
    with pytest.raises(QueryError, match="the feature unigram_loss exists already"):
        save_ngrams(store)
    save_ngrams(store, overwrite=True)


def test_a_single_document_is_refused(tmp_path: Path) -> None:
    store = Store(build_store(tmp_path / "one", sources=1))
    with pytest.raises(QueryError, match="the text has one source document"):
        losses_of_store(store)


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Losses that are those of unigrams, then of bigrams, then something else."""
    root = tmp_path_factory.mktemp("stores") / "learner"
    n_tokens = blank_store(root, sources=30, types=40)
    layout = Layout(root)
    text = bigrams_of_store(pq.read_table(layout.tokens), pq.read_table(layout.docs), None)
    unigram, bigram = ngram_losses(text, text, 40, leave_out=True)
    noise = np.random.default_rng(0).exponential(0.2, (3, n_tokens))
    losses = np.stack([unigram + noise[0], bigram + noise[1], 9 + 9 * noise[2]], axis=1)
    return with_losses(root, losses)


def test_the_correlation_shows_what_was_learned(learner: Store) -> None:
    lines = ngrams(learner).frame.set_index("checkpoint")
    found = losses_of_store(learner)
    losses = learner.matrix.rows(np.arange(len(found))).astype(float)
    for name in ("unigram", "bigram"):
        expected = [np.corrcoef(found[f"{name}_loss"], losses[:, i])[0, 1] for i in range(3)]
        assert lines[f"{name}_correlation"].tolist() == pytest.approx(expected)
        assert (lines[f"{name}_loss"] == found[f"{name}_loss"].mean()).all()
    assert lines.loc[0, "unigram_correlation"] > lines.loc[0, "bigram_correlation"]
    assert lines.loc[10, "bigram_correlation"] > 0.9 > lines.loc[10, "unigram_correlation"]
    assert lines.loc[20, "bigram_low"] < 0 < lines.loc[20, "bigram_high"]
    ours = learner.trajectories({"": "true"})
    assert lines["mean_loss"].tolist() == ours["mean_loss"].tolist()


def test_existing_features_are_used(learner: Store) -> None:
    save_ngrams(learner)
    kept = ngrams(learner, "is_word_start").frame
    learner.features.save("bigram_loss", np.arange(learner.manifest.n_tokens), overwrite=True)
    rows = learner.members("is_word_start")
    assert ngrams(learner, "is_word_start").frame["bigram_loss"][0] == pytest.approx(rows.mean())
    learner.features.save("bigram_loss", [1.5], rows=np.array([0]), overwrite=True)
    with pytest.raises(QueryError, match="bigram_loss has no value for some"):
        ngrams(learner)
    for name in ("unigram_loss", "bigram_loss"):
        learner.features.delete(name)
    assert kept.equals(ngrams(learner, "is_word_start").frame)


def test_bands_cover_the_true_correlation(tmp_path: Path) -> None:
    """Two hundred runs as checkpoints, whose losses correlate with a value by 0.5 on average."""
    n_tokens = blank_store(tmp_path / "runs", sources=60)
    layout = Layout(tmp_path / "runs")
    source = bigrams_of_store(pq.read_table(layout.tokens), pq.read_table(layout.docs), None).source
    rng = np.random.default_rng(0)
    value = rng.normal(0, 1, (n_tokens, 200))
    level = rng.normal(0, 0.5, (60, 200))[source]
    losses = 9 + value + level + rng.normal(0, np.sqrt(3 - 0.25), value.shape)
    store = with_losses(tmp_path / "runs", losses)
    covered, width = [], []
    for run in range(0, 200, 5):
        found = correlation(store.matrix, store.source_of_row, np.arange(n_tokens), value[:, run])
        covered.append(found.low[run] <= 0.5 <= found.high[run])
        width.append(found.high[run] - found.low[run])
    assert np.mean(covered) >= 0.85
    assert np.mean(width) < 0.15


def test_constant_losses_have_no_correlation(tmp_path: Path) -> None:
    n = blank_store(tmp_path / "run", sources=9)
    rng = np.random.default_rng(0)
    store = with_losses(tmp_path / "run", np.stack([np.full(n, 6.6), rng.normal(6.6, 1, n)], 1))
    found = correlation(store.matrix, store.source_of_row, np.arange(n), rng.normal(0, 1, n))
    assert np.isnan(found.estimate).tolist() == np.isnan(found.low).tolist() == [True, False]
    assert np.isnan(
        correlation(store.matrix, store.source_of_row, np.arange(n), np.ones(n)).estimate
    ).all()


def test_documents_of_one_token_have_no_bigrams(tmp_path: Path) -> None:
    """No context is known where each token is the first of its document."""
    store = Store(build_store(tmp_path / "short", sources=5, longest=1))
    assert losses_of_store(store)["bigram_loss"].isna().all()
    with pytest.raises(QueryError, match=r"no value for some tokens .* `python -m ingest ngrams`"):
        ngrams(store)
