"""Data dictionary of the tables, columns and macros in SQL; data/README.md says more."""

import pandas as pd

from queries import sql
from queries.store import Store

RELATIONS = {
    "losses": "one row per token occurrence and checkpoint",
    "loss_rows": "the same by row number: the fastest to join with tokens",
    "predictions": "what the model predicted: one row per token occurrence and checkpoint",
    "prediction_rows": "the same by row number",
    "tokens": "one row per predicted token occurrence, with the columns of its doc",
    "docs": "one row per doc, the sequence that the model saw",
    "words": "one row per word of a source document, whatever its tokens are",
    "checkpoints": "one row per checkpoint, scored or failed",
    "probes": "one row per checkpoint and measurement on random repeated sequences",
}
"""All relations that a store may have; `columns` lists those that it has."""
MACROS = {
    "trajectory('word_start')": "a group's mean loss at each checkpoint, with its 95% band",
    "difference('word_start', 'copyable')": "first group's mean minus the second's, with its band",
    "ratio('word_start', 'copyable')": "first group's mean divided by the second's, with its band",
    "in_context_score()": "mean loss at position 500 minus at position 50",
    "predicted_trajectory('word_start')": "a group's accuracy, mean rank and mean entropy",
    "zoom(400, 1000)": "each token's loss at two checkpoints, and its change",
    "loss_at(row, 1000)": "one token's loss at a checkpoint; a value, not a table",
}
_TOKEN = {
    "doc": "number of the doc, from 0",
    "position": "tokens that the model saw before it in its doc, including the BOS",
    "token_id": "the token's number in the vocabulary",
    "token_str": "its text with its leading space; bytes that are not valid text as <0xE2>",
    "is_word_start": "first token of a run of non-space characters",
    "loss": "-ln p(token | the tokens before it), in nats",
    "rank": "token types that the model found more likely; 0 if the token was its first guess",
    "entropy": "of the predicted distribution, in nats",
    "top_id": "number of the first guess in the vocabulary",
    "top_str": "its text; NULL if the tokenizer has none",
    "top_loss": "-ln p of the first guess, in nats",
    "checkpoint": "training step",
    "row": "number of the token occurrence, the same at every checkpoint",
    "char_start": "its start in the doc's text, in characters",
    "char_end": "its end, exclusive",
    "word": "the word that it belongs to; NULL for punctuation",
    "prev_token_str": "the token before it",
    "word_part": "0 for the first token of its word, then 1, 2, …",
    "seen_before": "earlier occurrences of the token in the doc",
    "bigram_seen_before": "earlier occurrences in the doc of it and the token before it",
    "trigram_seen_before": "earlier occurrences in the doc of it and the two tokens before it",
    "role": "role of the message that the token belongs to; NULL if the chat template wrote it",
    "turn": "number of its message, from 0; for the template's tokens, of the message before",
    "is_template": "whether the chat template wrote the token",
    "corpus_count": "occurrences of the token in the whole text",
    "source": "the source document, the sampled unit of every band",
    "part": "0 for the first window of its source document, then 1, 2, …",
    "text": "the doc's text",
    "text_start": "its start in the source document, in characters; NULL in older stores",
    "n_tokens": "its rows in tokens",
    "doc_tokens": "rows of its doc in tokens",
}
_CHECKPOINT = {
    "checkpoint": "training step, as in losses",
    "revision": "its name as published",
    "commit": "the Hub's commit, if there is one",
    "tokens_seen": "training tokens up to this checkpoint, if known",
    "weights_sha256": "of the weights as published",
    "n_tokens": "rows of its loss file",
    "mean_loss": "their mean loss in nats",
    "seconds": "time to load and score it",
    "stage": "stage of the training, as published",
    "step": "step in its stage, as published",
    "error": "why it has no losses; NULL if it was scored",
    "duplicate_of": "the first checkpoint with the same weights",
}
_PROBE = {
    "checkpoint": "training step, as in losses",
    "probe": "loss_first, loss_second (nats) or prefix_matching (0 to 1)",
    "layer": "layer of the attention head, from 0; NULL for a loss",
    "head": "number of the head in its layer, from 0; NULL for a loss",
    "value": "what was measured",
}
_WORD = {
    "source": "the source document",
    "word": "number of the word in its source document, from 0",
    "char_start": "its start in the source document, in characters, with the blanks before it",
    "char_end": "its end, exclusive",
    "text": "the word with the blanks before it",
    "prev_text": "the word before it",
    "first_row": "row of the first token that starts in it; NULL if none does",
    "n_tokens": "tokens that start in it",
    "n_bytes": "its length in UTF-8 bytes",
}
_MEANINGS = {"checkpoints": _CHECKPOINT, "probes": _PROBE, "words": _WORD}
_OWN = "from the text source, or a feature computed later"


def columns(store: Store) -> pd.DataFrame:
    """The columns of the store's RELATIONS: relation, column, type, meaning."""
    found = store.sql(sql.read("catalog/relation_columns"), values={"relations": list(RELATIONS)})
    return found.assign(
        meaning=[meaning(r, c) for r, c in zip(found["relation"], found["column"], strict=True)]
    )


def meaning(relation: str, column: str) -> str:
    """What a column contains; columns of the text source have only a general description."""
    return _MEANINGS.get(relation, _TOKEN).get(column, _OWN)
