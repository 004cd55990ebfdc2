"""POST /v1/images/generations and GET /v1/models by the official client."""

import base64
import io

import openai
import pytest
from PIL import Image


def draw(client, **fields):
    fields = {"model": "stable", "prompt": "draw a red circle"} | fields
    return client.images.generate(**fields)


def test_pictures_come_as_base64_png_of_the_models_size(openai_client):
    answer = draw(openai_client, n=2, size="32x32", response_format="b64_json")
    assert len(answer.data) == 2
    for picture in answer.data:
        image = Image.open(io.BytesIO(base64.b64decode(picture.b64_json)))
        assert (image.format, image.size) == ("PNG", (32, 32))
    assert answer.output_format == "png"
    assert answer.created > 0


def test_usage_counts_prompt_and_image_tokens(openai_client):
    usage = draw(openai_client, n=2).usage
    assert usage.output_tokens >= 2 * 64
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens_details.image_tokens == 0


def test_a_seed_draws_the_same_picture_and_guidance_another(openai_client):
    bodies = ({"seed": 1}, {"seed": 1}, {"seed": 2}, {"seed": 1, "guidance_scale": 4.0})
    same, again, other, guided = (draw(openai_client, extra_body=b).data[0] for b in bodies)
    assert same == again
    assert len({same.b64_json, other.b64_json, guided.b64_json}) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"size": "1024x1024"},
        {"size": "large"},
        {"response_format": "url"},
        {"output_format": "webp"},
        {"n": 0},
        {"n": 1000},
        {"quality": "hd"},
        {"prompt": ""},
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_refused_by_field(openai_client, fields):
    with pytest.raises(openai.BadRequestError) as refused:
        draw(openai_client, **fields)
    assert refused.value.param == next(iter(fields))


def test_models_are_the_aliases_and_versions_with_their_limits(openai_client):
    models = {model.id: model for model in openai_client.models.list()}
    stable = models["stable"]
    assert stable.object == "model"
    assert stable.owned_by == "attune"
    assert stable.context_tokens == 512
    assert stable.output_modalities == ["text", "image"]
    assert {"base", stable.version} <= models.keys()
    assert openai_client.models.retrieve("base").version == stable.version


def test_an_unknown_model_is_not_found_also_with_a_slash(openai_client):
    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.models.retrieve("run/7f3a")
    assert "'run/7f3a'" in missing.value.message
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        draw(openai_client, model="nobody")
