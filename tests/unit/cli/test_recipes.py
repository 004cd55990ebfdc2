import pytest

from services.cli.errors import UserError
from services.cli.runs.recipes import find_recipe, override, parse_overrides, shipped_recipes


def test_a_recipe_is_found_by_its_path_and_by_its_folder(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n')
    assert find_recipe(str(path)).values == {"name": "mine"}
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "recipe.toml").write_text('name = "task"\n')
    found = find_recipe(str(tmp_path / "task"))
    assert found.folder == tmp_path / "task"


def test_a_shipped_recipe_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr("services.cli.runs.recipes._PACKAGED", tmp_path)
    (tmp_path / "world_rl.toml").write_text("")
    assert list(shipped_recipes()) == ["world_rl"]
    assert find_recipe("world_rl").path == tmp_path / "world_rl.toml"
    with pytest.raises(UserError) as caught:
        find_recipe("worldrl")
    assert caught.value.hint == "did you mean 'world_rl'?"
    with pytest.raises(UserError) as caught:
        find_recipe("x")
    assert "world_rl" in (caught.value.hint or "")


def test_a_path_that_is_not_there_and_toml_that_is_none_are_said(tmp_path):
    with pytest.raises(UserError, match="no recipe file"):
        find_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(UserError, match="not valid TOML"):
        _ = find_recipe(str(tmp_path / "bad.toml")).values


def test_overrides_are_parsed_and_put_in_their_section():
    overrides = parse_overrides(["optimizer.learning_rate=1e-3", "name = mine", "a.b.c=[1, 2]"])
    values = override({"name": "x", "optimizer": {"eps": 1.0}}, overrides)
    assert values == {
        "name": "mine",
        "optimizer": {"eps": 1.0, "learning_rate": 1e-3},
        "a": {"b": {"c": [1, 2]}},
    }


def test_an_override_leaves_the_original_as_it_was():
    values = {"optimizer": {"eps": 1.0}}
    override(values, {"optimizer.eps": "2.0"})
    assert values == {"optimizer": {"eps": 1.0}}


@pytest.mark.parametrize("setting", ["steps", "=3", ""])
def test_an_override_of_another_form_is_refused(setting):
    with pytest.raises(UserError, match="field=value"):
        parse_overrides([setting])


def test_an_override_into_a_field_is_refused():
    with pytest.raises(UserError, match="is a field"):
        override({"name": "x"}, {"name.first": "y"})


def test_files_of_overrides_are_as_the_shell_sees_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    overrides = parse_overrides(["data.path=task/data.jsonl", "reward.user_scorer.file=/s.py"])
    assert overrides["data.path"] == str(tmp_path / "task" / "data.jsonl")
    assert overrides["reward.user_scorer.file"] == "/s.py"
