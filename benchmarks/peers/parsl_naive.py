"""Parsl as one begins with it: an app on threads that makes its own client at each call."""

import parsl
from job import MAX_TOKENS, MODEL, Job
from parsl import python_app
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor


@python_app
def ask(url: str, text: str) -> str:
    from openai import OpenAI

    client = OpenAI(base_url=url, api_key="none")
    completion = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], temperature=0, max_tokens=MAX_TOKENS
    )
    return completion.choices[0].message.content or ""


def main(job: Job) -> None:
    threads = ThreadPoolExecutor(max_threads=job.in_flight)
    with parsl.load(Config(executors=[threads], initialize_logging=False)):
        futures = {name: ask(job.url, text) for name, text in job.questions.items()}
        job.write({name: future.result() for name, future in futures.items()})


main(Job.from_arguments())
