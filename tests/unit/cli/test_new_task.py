import importlib.util
import tomllib

import pytest

from services.cli.errors import UserError
from services.cli.evaluation.tasks import recipe_task
from services.cli.new_task.writing import NUM_HELDOUT, NUM_TRAIN, write_task
from services.common.dataset import JsonlSource


def _score_function(path):
    spec = importlib.util.spec_from_file_location("a_users_scorer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.score


def test_the_data_reads_as_a_task_with_both_splits(tmp_path):
    write_task(tmp_path / "counting")
    data = tmp_path / "counting" / "data.jsonl"
    assert len(JsonlSource(data, "train")) == NUM_TRAIN
    heldout = JsonlSource(data, "heldout").items()
    assert len(heldout) == NUM_HELDOUT
    assert {item.reference["answer"] for item in heldout} == {"1", "2", "3"}


def test_the_recipe_and_the_page_carry_the_tasks_name(tmp_path):
    write_task(tmp_path / "counting")
    recipe = tomllib.loads((tmp_path / "counting" / "recipe.toml").read_text())
    assert recipe["name"] == "counting"
    assert "TASK_NAME" not in (tmp_path / "counting" / "README.md").read_text()


@pytest.mark.parametrize(("answer", "reward"), [("2", 1.0), ("2.", 1.0), ("3", 0.1), ("two?", 0.0)])
def test_the_scorer_scores(tmp_path, answer, reward):
    write_task(tmp_path / "counting")
    score = _score_function(tmp_path / "counting" / "scorer.py")
    assert score({"answer_text": answer, "reference": {"answer": "2"}}) == reward


def test_eval_finds_the_tasks_held_out_rows_and_its_scorer(tmp_path):
    write_task(tmp_path / "counting")
    task = recipe_task(str(tmp_path / "counting"), 10)
    assert len(task.items) == 10
    assert {item.split for item in task.items} == {"heldout"}
    assert task.scorer.user_file == tmp_path / "counting" / "scorer.py"


def test_a_folder_that_is_there_is_never_written_over(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="is there already"):
        write_task(tmp_path / "mine")


def test_a_name_that_no_recipe_could_have_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot name a task"):
        write_task(tmp_path / "My Task")
