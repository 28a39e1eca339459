"""A model on vectors behind the service: its particles are its own whatever shares their passes, and are work."""

from concurrent.futures import ThreadPoolExecutor

from api_service import save_models, service
from tiny_model import tiny_checkpoint
from vector_model import on_vectors

from domains.design import design

MODEL = "vectors"
ASKED = {"domain": "smiles", "model": MODEL, "template": "CC{4}O", "wishes": ["valid"], "n": 3, "steps": 8, "bound_draws": 0}


def test_the_service_answers_as_python_does_and_counts_particles(tmp_path):
    checkpoint = on_vectors(tiny_checkpoint(), {"C": 6.0})
    checkpoint.save(save_models(tmp_path / "models") / MODEL, "# tiny, on vectors\n")
    with service(tmp_path, offered=("tiny", "text-small", MODEL)) as client:
        with ThreadPoolExecutor(3) as pool:  # together, so that passes are shared
            answers = list(pool.map(lambda seed: client.post("/v1/generate", json={**ASKED, "seed": seed}).json(), range(3)))
        for seed, answer in enumerate(answers):
            here = design(checkpoint=checkpoint, seed=seed, **{**ASKED, "batch_size": 8})
            told = [item["sequence"] for item in answer["designs"]]
            assert told == [item.sequence for item in here.designs] and told
            assert [item["certificate"]["log_evidence"] for item in answer["designs"]] == [
                item.certificate.log_evidence for item in here.designs
            ]
            assert all(item["valid"] and item["certificate"]["particles"] == 8 for item in answer["designs"])
        refused = client.post("/v1/generate", json={**ASKED, "template": "C{999}", "n": 60, "steps": 100})
        assert refused.status_code == 422 and "60 · 8 · 1000 · 100 = 48,000,000" in refused.json()["error"]["message"]
