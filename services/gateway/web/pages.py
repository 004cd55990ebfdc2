"""The page itself and its files."""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from fastapi.templating import Jinja2Templates
from starlette.staticfiles import StaticFiles

from services.gateway.web.plotly_bundle import PlotlyBundle, load_plotly

router = APIRouter(include_in_schema=False)
_FOLDER = Path(__file__).parent


@router.get("/")
async def show_home(request: Request) -> Response:
    """Services, runs, and a box to try the model."""
    context = {"plotly": load_plotly()}
    return _templates().TemplateResponse(request, "home.html", context)


@router.get("/assets/plotly-{digest}.js")
def get_plotly(digest: str, request: Request) -> Response:
    """Plotly from its own Python package; its name changes with its content."""
    bundle: PlotlyBundle = load_plotly()
    gzipped = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if gzipped:
        headers["Content-Encoding"] = "gzip"
    content = bundle.gzipped() if gzipped else bundle.path.read_bytes()
    return Response(content, media_type="text/javascript", headers=headers)


def mount_static_files(app: FastAPI) -> None:
    """Style sheets and scripts, asked for again by their ETag each time."""
    app.mount("/static", StaticFiles(directory=_FOLDER / "static"), name="static")


@cache
def _templates() -> Jinja2Templates:
    return Jinja2Templates(directory=_FOLDER / "templates")
