"""What a user can put right, said in one line with what to do next; no traceback is shown."""

import sys
from types import TracebackType

import typer
from typer.core import TyperGroup


class UserError(Exception):
    """A mistake or a state that the user can change."""

    def __init__(self, message: str, hint: str | None = None, exit_code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code


class ReportingGroup(TyperGroup):
    """The command tree; the one place where errors become a line on standard error."""

    # typer's own Context is the only public name of what is passed here.
    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Runs the command. Errors that are not a user's keep their traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            raise typer.Exit(130) from None
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            _show(explained)
            raise typer.Exit(explained.exit_code) from None


def explain(error: Exception) -> UserError | None:
    """The error as a user should read it, or None where it is a bug."""
    if isinstance(error, UserError):
        return error
    if type(error).__module__.partition(".")[0] == "grpc" or _is_ours(error):
        return _from_service(error)
    if isinstance(error, ValueError) and _is_deliberate(error.__traceback__):
        return UserError(str(error))
    if isinstance(error, OSError) and error.filename is not None:
        return UserError(f"{error.filename}: {error.strerror}")
    return None


def _from_service(error: Exception) -> UserError | None:
    import grpc

    from services.common.errors import AttuneError, Unavailable, from_rpc

    ours = from_rpc(error) if isinstance(error, grpc.RpcError) else error
    if not isinstance(ours, AttuneError):
        return None
    if isinstance(ours, Unavailable):
        return UserError(f"a service does not answer: {ours}", "see `attune status`")
    if type(ours) is AttuneError:
        return UserError(str(ours), "the logs lie in the folder that `attune status` names")
    return UserError(str(ours))


def _is_ours(error: Exception) -> bool:
    return any(c.__module__ == "services.common.errors" for c in type(error).__mro__)


def _is_deliberate(trace: TracebackType | None) -> bool:
    """Whether the innermost frame is our own code, which raises ValueError for users only."""
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in ("services", "models")


def _show(error: UserError) -> None:
    from services.cli.terminal import messages

    out = messages()
    out.print(f"[bold red]error[/]  {_escaped(str(error))}", highlight=False, soft_wrap=True)
    if error.hint:
        out.print(f"[dim]try[/]    {_escaped(error.hint)}", highlight=False, soft_wrap=True)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
