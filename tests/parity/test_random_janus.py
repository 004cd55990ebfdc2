"""The random Janus of `attune bench images` is the same model for transformers and for us."""

import pytest
import torch

from models import checkpoint
from models.attention import DenseAttention
from services.policy.bench.random_janus import write_random_janus
from services.policy.bench.random_llama import Size

transformers = pytest.importorskip(
    "transformers", reason="it is what families are compared with; the dev extra brings it"
)

SIZE = Size(vocab_size=512, width=64, num_layers=2, num_heads=4, num_kv_heads=2, mlp_width=96)


@torch.no_grad()
def test_a_random_janus_has_all_weights_and_the_codes_logits_of_transformers(tmp_path):
    write_random_janus(tmp_path, SIZE, torch.float32)
    theirs, loading = transformers.JanusForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(loading.values())
    ours = checkpoint.load(tmp_path).model.eval()
    ids_BL = torch.randint(0, 300, (2, 9), generator=torch.Generator().manual_seed(1))
    hidden_BLD = theirs.model.language_model(ids_BL).last_hidden_state
    expected_BLK = theirs.model.generation_head(hidden_BLD)
    positions_BL = torch.arange(9).expand(2, 9)
    decoded_BLD = ours.decode(ours.embed(ids_BL, None), positions_BL, DenseAttention())
    assert expected_BLK.std() > 0.05
    torch.testing.assert_close(ours.generation_head(decoded_BLD), expected_BLK, atol=1e-4, rtol=0)
