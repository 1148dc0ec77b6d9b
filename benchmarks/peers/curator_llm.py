"""curator: an `LLM` over a list of rows, through its own online processor for OpenAI-compatible servers."""

import importlib.util
import os
from pathlib import Path

from job import MAX_TOKENS, MODEL, Job

BEYOND_REACH = 10**9


def main(job: Job) -> None:
    # It counts tokens with an encoding that it would fetch; litellm, which it brings along, has that file.
    [litellm] = importlib.util.find_spec("litellm").submodule_search_locations
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(litellm) / "litellm_core_utils" / "tokenizers")
    from bespokelabs import curator

    class Ask(curator.LLM):
        def prompt(self, input: dict) -> str:
            return input["text"]

        def parse(self, input: dict, response: str) -> dict:
            return {"name": input["name"], "answer": response}

    ask = Ask(
        model_name=MODEL,
        backend="openai",
        generation_params={"temperature": 0, "max_tokens": MAX_TOKENS},
        backend_params={
            "base_url": job.url,
            "api_key": "none",
            "max_concurrent_requests": job.in_flight,
            "max_requests_per_minute": BEYOND_REACH,
            "max_tokens_per_minute": BEYOND_REACH,
        },
    )
    rows = ask([{"name": name, "text": text} for name, text in job.questions.items()]).dataset
    job.write({row["name"]: row["answer"] for row in rows})


main(Job.from_arguments())
