"""What a store is, and what no store of its kind can show."""

import pandas as pd

from queries.report.words import count
from queries.store import Store
from store.manifest import FORMAT_VERSION


def of(store: Store) -> pd.DataFrame:
    """fact, value: model, text, checkpoints, convention, fingerprint."""
    about, tried = store.manifest, store.checkpoints
    failed = int(tried["error"].notna().sum()) if "error" in tried else 0
    steps = store.steps
    lines = {
        "Model": about.model,
        "Text": about.text + (f", commit {about.text_commit}" if about.text_commit else ""),
        "Size": f"{count(about.n_tokens, 'token')} in {count(about.n_docs, 'doc')} of "
                f"{count(len(store.sources), 'source document')}",
        "Checkpoints": f"{len(steps):,}, steps {steps[0]:,} to {steps[-1]:,}"
                       + (f"; {failed:,} more failed" if failed else ""),
        "Docs": f"windows of at most {about.context_length:,} tokens"
                + (f", a stride of {about.stride:,}" if about.stride else ", no overlap")
                + (f", {about.bos} in front" if about.bos else ", no BOS in front"),
        "Position": "the number of tokens that the model saw before the predicted one, the BOS "
                    "included",
        "Loss": f"-ln p of the token itself, in nats; scored in {about.dtype}, attention "
                f"{about.attention}",
        "Tokenizer": f"{about.tokenizer}, sha256 {about.tokenizer_sha256[:16]}",
        "Token fingerprint": about.token_fingerprint,
        "Made with": ", ".join(f"{k} {v}" for k, v in about.versions.items()) or "not recorded",
        "Store format": str(FORMAT_VERSION),
    }  # fmt: skip
    return pd.DataFrame({"fact": list(lines), "value": list(lines.values())})


def missing(store: Store) -> list[str]:
    """Limits of the store as a whole."""
    told = [
        "Other seeds and other texts: this is one run, scored on one text. The bands are for other "
        "documents like these, not for another training run.",
        "Causes: groups differ in more than what they are named for (rarity, place in the text). "
        "`python -m queries matched` compares a group with tokens that are like it.",
    ]
    if store.probes is None:
        told.append(
            "Induction heads: losses say what was learned, not by which mechanism. This store has "
            "no probes (`python -m ingest run --probes` makes them)."
        )
    else:
        told.append(
            "Induction heads: no figure here looks inside the model. This store has probes: "
            "`python -m queries mechanism` sets them beside the losses."
        )
    if len(store.sources) < 10:
        told.append(
            f"Reliable bands: the text is of {count(len(store.sources), 'source document')}; under "
            "ten, distrust every band."
        )
    return [*told, *_odd(store)]


def _odd(store: Store) -> list[str]:
    tried = store.checkpoints
    told = []
    failed = tried[tried["error"].notna()] if "error" in tried else tried[:0]
    if len(failed):
        told.append(f"{count(len(failed), 'checkpoint')} that failed; nothing stands in for it.")
    same = tried[tried["duplicate_of"].notna()] if "duplicate_of" in tried else tried[:0]
    if len(same):
        told.append(f"{count(len(same), 'checkpoint')} under a right name: their weights are those "
                    "of another step.")  # fmt: skip
    return told
