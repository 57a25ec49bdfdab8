"""Pages of a store with predictions offer measures, and show what the model guessed."""

from pathlib import Path

import pytest

from queries import Store
from tests.views.apps import drawn, said, shown

DEMO = Path(__file__).parents[2] / "data" / "demo"


def test_trajectories_show_the_chosen_measure_at_its_checkpoints() -> None:
    figure, *_ = drawn(DEMO, "trajectories", measure="accuracy")
    assert figure.title.startswith("Accuracy")
    assert figure.frame["accuracy"].between(0, 1).all()
    assert figure.frame["checkpoint"].nunique() == 8
    assert "Only 8 of the 101 checkpoints have predictions." in figure.caption
    assert "predicted_trajectory" in figure.script
    store = Store(DEMO)
    title = figure.frame["token_group"].iloc[-1]
    named = {g.title: g.name for g in store.named_groups.values()}
    expected = store.trajectories({"g": named[title]}, measure="accuracy")["accuracy"]
    assert figure.frame["accuracy"].iloc[-8:].tolist() == expected.tolist()


def test_the_axis_of_the_chart_has_the_measure_s_unit() -> None:
    for measure, words in (("entropy", "mean entropy (nats)"), ("rank", "mean rank")):
        app = shown(DEMO, "trajectories", measure=measure)
        chart = app.get("vega_lite_chart")[0].proto.spec
        assert words in chart
        assert "mean loss (nats)" not in chart


def test_positions_are_coloured_by_the_measure() -> None:
    figure, *_ = drawn(DEMO, "positions", measure="rank")
    assert figure.title == "Rank by position and step"
    assert figure.frame["checkpoint"].nunique() == 8
    assert "prediction_rows" in figure.script


@pytest.mark.parametrize(
    ("region", "words"),
    [("1380-1640", "with a probability of"), ("1380-1660", "Step 1,660: no predictions")],
)
def test_a_selected_token_shows_the_guesses_before_and_after(region: str, words: str) -> None:
    app = shown(DEMO, "text", token="1234", region=region, colour="change")
    assert "The model's first guess" in said(app)
    assert "Step 1,380" in said(app) and words in said(app)
    guess = Store(DEMO).predicted(1234, [1380])
    assert f"{guess['top_probability'][0]:.1%}" in said(app)


def test_without_predictions_there_is_no_choice(folder: Path) -> None:
    app = shown(folder, "trajectories", measure="accuracy")
    assert "measure_choice" not in app.session_state
    assert not app.error
    assert "measure_choice" in shown(DEMO, "trajectories").session_state
