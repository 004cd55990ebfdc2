"""Health, metrics, the JSON of the page, and the headers of every answer."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.common.world.families.exercise import FAMILIES


def test_live_and_ready(http_client):
    assert http_client.get("/health/live").json() == {"status": "live"}
    ready = http_client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["services"]["policy"] == "serving"


def test_metrics_are_named_as_prometheus_asks_and_count_requests(http_client, openai_client):
    def families():
        text = http_client.get("/metrics").text
        return {family.name: family for family in text_string_to_metric_families(text)}

    def models_asked() -> float:
        samples = families()["attune_gateway_requests"].samples
        wanted = {"route": "/v1/models", "method": "GET", "status": "200"}
        return sum(s.value for s in samples if s.labels == wanted and s.name.endswith("_total"))

    before = models_asked()
    openai_client.models.list()
    assert models_asked() == before + 1
    own = {name for name in families() if name.startswith("attune_gateway_")}
    assert {
        "attune_gateway_request_duration_seconds",
        "attune_gateway_time_to_first_token_seconds",
        "attune_gateway_tokens",
        "attune_gateway_service_serving",
    } <= own


def test_the_overview_says_who_serves_and_what_they_hold(http_client):
    services = {s["name"]: s for s in http_client.get("/api/services").json()["services"]}
    assert list(services) == ["policy", "reward", "trainer", "feedback", "gateway"]
    policy = services["policy"]
    assert policy["health"] == "serving"
    assert 0 < policy["latency_s"] < 1
    (version,) = [v for v in policy["holds"]["versions"] if "stable" in v["aliases"]]
    assert version["aliases"] == ["base", "stable"]
    assert version["resident_bytes"] > 0


def test_examples_are_items_of_the_world(http_client):
    examples = http_client.get("/api/examples").json()["examples"]
    assert [e["task"] for e in examples] == list(FAMILIES)
    assert [e["output"] for e in examples] == ["text", "text", "image", "text", "text", "text"]
    assert all(e["text"] for e in examples if e["task"] != "speech")
    assert all(url.startswith("data:image/png;") for e in examples[:2] for url in e["media"])


@pytest.mark.parametrize("path", ["/", "/static/js/main.js", "/api/services", "/v1/nothing"])
def test_every_answer_carries_the_security_headers(http_client, path):
    headers = http_client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "media-src data:;" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_plotly_is_served_compressed_under_the_name_of_its_content(http_client):
    page = http_client.get("/").text
    (path,) = {part for part in page.split('"') if part.startswith("/assets/plotly-")}
    response = http_client.get(path)
    assert response.headers["content-encoding"] == "gzip"
    assert "immutable" in response.headers["cache-control"]
    assert "plotly.js" in response.text[:200]


def test_the_api_describes_itself(http_client):
    paths = http_client.get("/openapi.json").json()["paths"]
    assert {
        "/v1/chat/completions",
        "/v1/images/generations",
        "/v1/audio/transcriptions",
        "/v1/feedback",
    } <= paths.keys()
    (body_type,) = paths["/v1/audio/transcriptions"]["post"]["requestBody"]["content"]
    assert body_type == "multipart/form-data"
