"""The card of a published store: README.md with its figure, for the Hub's page and data viewer."""

from html import escape
from pathlib import Path

from ingest.output.outcomes import Outcome
from store.layout import Layout
from store.manifest import Manifest

FIGURE = "figures/mean-loss.svg"
_COLUMNS = (
    ("checkpoint", "training step"),
    ("doc", "sequence that the model saw: at most one context window of one source document"),
    ("position", "number of tokens that the model saw before this one; 500 is the 500th token"),
    ("token_id, token_str", "the predicted token and its text, with its leading blank"),
    ("is_word_start", "whether the token begins a word"),
    ("loss", "-ln p(token given the tokens before it in its doc), in nats"),
)
_TOKENS = (
    ("row", "0, 1, 2, …: the row of the token in every loss file"),
    ("char_start, char_end", "its characters in the text of its doc"),
    ("word, word_part", "its word, and which part of the word it is"),
    ("prev_token_str", "the token before it"),
    ("seen_before", "earlier occurrences of the token in its doc"),
    ("bigram_seen_before, trigram_seen_before", "the same of the last two, three tokens"),
    ("corpus_count", "occurrences of the token in all rows"),
)
_WIDTH, _HEIGHT, _MARGIN = 640, 300, 50


def make_card(layout: Layout, manifest: Manifest, outcomes: list[Outcome], url: str) -> str:
    """README.md: data sets for `load_dataset` in its YAML header, then text for people."""
    scored = [o for o in outcomes if not o.error]
    steps = [o.checkpoint.checkpoint for o in scored]
    n_losses = len(scored) * manifest.n_tokens
    origin = ""
    if manifest.imported is not None:
        origin = f" The losses were imported from another tool ({manifest.imported['format']})."
    return "\n".join([
        "---",
        "tags: [token-trails, training-dynamics]",
        "configs:",
        *_configs(layout),
        "---",
        f"# Losses of every token: {manifest.model}",
        "",
        f"The loss of each of {manifest.n_tokens:,} tokens of {manifest.text} at "
        f"{len(scored):,} training checkpoints, steps {min(steps):,} to {max(steps):,}: "
        f"{n_losses:,} losses.{origin}",
        "",
        f"![Mean loss over all tokens, by training step]({FIGURE})",
        "",
        "```python",
        "from queries import Store  # Token Trails",
        "",
        f'store = Store("{url}")',
        'means = store.trajectories({"50th token": "position = 50"})',
        "```",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'losses = load_dataset("{url.removeprefix("hf://datasets/")}", "losses", split="train")',
        "```",
        "",
        "## Columns",
        "",
        "`losses/` has a file per checkpoint. Rows and their order are the same in all of them.",
        "",
        *_table(_COLUMNS),
        "",
        "`tokens.parquet` has one row per token with, in addition:",
        "",
        *_table(_TOKENS),
        "",
        "`docs.parquet` has the texts, `checkpoints.parquet` the checkpoints, and `manifest.json` "
        "what the losses were computed with:",
        "",
        *_table(_facts(manifest)),
        "",
    ])  # fmt: skip


def _configs(layout: Layout) -> list[str]:
    files = {"losses": "losses/*.parquet", "tokens": "tokens.parquet", "docs": "docs.parquet"}
    files["checkpoints"] = "checkpoints.parquet"
    if layout.predicted():
        files["predictions"] = "predictions/*.parquet"
    lines = []
    for name, pattern in files.items():
        lines += [f"- config_name: {name}", f"  data_files: {pattern}"]
        lines += ["  default: true"] * (name == "losses")
    return lines


def _table(rows: tuple[tuple[str, str], ...]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)]


def _facts(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    return (
        ("model", manifest.model),
        ("text", manifest.text),
        ("tokenizer", manifest.tokenizer),
        ("context length", f"{manifest.context_length:,}"),
        ("BOS", manifest.bos or "none"),
        ("dtype, attention", f"{manifest.dtype}, {manifest.attention}"),
        ("tokens, docs", f"{manifest.n_tokens:,}, {manifest.n_docs:,}"),
        ("token fingerprint", f"`{manifest.token_fingerprint}`"),
    )


def mean_loss_figure(outcomes: list[Outcome]) -> str:
    """SVG: the mean loss over all tokens at each checkpoint, against the step."""
    points = [(o.checkpoint.checkpoint, o.mean_loss) for o in outcomes if o.mean_loss is not None]
    steps, losses = [s for s, _ in points], [x for _, x in points]
    last, top = max([*steps, 1]), max([*losses, 0.1]) * 1.05
    across, down = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN

    def place(step: float, loss: float) -> str:
        return f"{_MARGIN + across * step / last:.1f},{_HEIGHT - _MARGIN - down * loss / top:.1f}"

    def label(x: float, y: float, text: str, anchor: str) -> str:
        return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'

    bottom, left = _HEIGHT - _MARGIN, _MARGIN
    quarters = [k / 4 for k in range(5)]
    ticks = [label(left - 6, bottom + 4 - down * q, f"{top * q:.1f}", "end") for q in quarters]
    ticks += [label(left + across * q, bottom + 18, f"{last * q:,.0f}", "middle") for q in quarters]
    line = " ".join(place(step, loss) for step, loss in points)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<path d="M{left},{_MARGIN}V{bottom}H{_WIDTH - _MARGIN}" fill="none" stroke="#888"/>',
        *ticks,
        label(_WIDTH / 2, _HEIGHT - 10, "training step", "middle"),
        label(left, _MARGIN - 16, "mean loss over all tokens (nats)", "start"),
        f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="2"/>',
        "</svg>",
        "",
    ])  # fmt: skip


def write_card(
    folder: Path, layout: Layout, manifest: Manifest, outcomes: list[Outcome], url: str
) -> list[Path]:
    """Write README.md and its figure into a folder; returns the files."""
    card, figure = folder / "README.md", folder / FIGURE
    figure.parent.mkdir(parents=True, exist_ok=True)
    card.write_text(make_card(layout, manifest, outcomes, url), encoding="utf-8")
    figure.write_text(mean_loss_figure(outcomes), encoding="utf-8")
    return [card, figure]
