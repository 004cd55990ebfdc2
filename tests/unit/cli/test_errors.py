import grpc
import pytest
import typer
from typer.testing import CliRunner

from services.cli.errors import ReportingGroup, UserError, explain
from services.cli.main import app
from services.common.dataset import JsonlSource
from services.common.errors import AttuneError, NotFound, Unavailable


def _app_that_raises(error: BaseException) -> typer.Typer:
    app = typer.Typer(cls=ReportingGroup, pretty_exceptions_enable=False)

    @app.command()
    def act() -> None:
        raise error

    @app.command()
    def other() -> None: ...

    return app


def test_a_users_error_is_one_line_and_what_to_do():
    app = _app_that_raises(UserError("no recipe 'x'", "one of a, b [c]"))
    result = CliRunner().invoke(app, ["act"])
    assert result.exit_code == 1
    assert "no recipe 'x'" in result.stderr
    assert "one of a, b [c]" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_services_error_keeps_its_message():
    assert str(explain(NotFound("no run 'r1'"))) == "no run 'r1'"


def test_a_service_that_is_down_is_said_to_be_down():
    explained = explain(Unavailable("connection refused"))
    assert explained is not None
    assert "does not answer" in str(explained)
    assert "attune status" in (explained.hint or "")


def test_an_internal_error_points_to_the_logs():
    explained = explain(AttuneError("internal error"))
    assert explained is not None
    assert "logs" in (explained.hint or "")


def test_a_status_off_the_wire_becomes_the_servers_words():
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        call = channel.unary_unary("/attune.v1.Nothing/Ask")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=1)
    assert "does not answer" in str(explain(caught.value))


def test_a_value_error_of_ours_is_a_users_and_a_librarys_is_a_bug(tmp_path):
    (tmp_path / "data.jsonl").write_text("not json\n")
    with pytest.raises(ValueError, match="line 1") as ours:
        JsonlSource(tmp_path / "data.jsonl")
    assert "line 1" in str(explain(ours.value))
    with pytest.raises(ValueError, match="invalid literal") as theirs:
        int("x")
    assert explain(theirs.value) is None


def test_ctrl_c_ends_with_130_and_no_traceback():
    result = CliRunner().invoke(_app_that_raises(KeyboardInterrupt()), ["act"])
    assert result.exit_code == 130
    assert result.stderr == "stopped\n"


def test_a_bug_keeps_its_traceback():
    result = CliRunner().invoke(_app_that_raises(RuntimeError("a bug")), ["act"])
    assert isinstance(result.exception, RuntimeError)


def test_help_teaches_with_examples():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for example in ("attune demo", "attune up", "attune new task"):
        assert example in result.stdout
