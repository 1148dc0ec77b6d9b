"""Parsl with what helps most: one client that all apps on threads share."""

import parsl
from job import MAX_TOKENS, MODEL, Job
from openai import OpenAI
from parsl import python_app
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor


@python_app
def ask(client: OpenAI, text: str) -> str:
    completion = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], temperature=0, max_tokens=MAX_TOKENS
    )
    return completion.choices[0].message.content or ""


def main(job: Job) -> None:
    client = OpenAI(base_url=job.url, api_key="none")
    threads = ThreadPoolExecutor(max_threads=job.in_flight)
    with parsl.load(Config(executors=[threads], initialize_logging=False)):
        futures = {name: ask(client, text) for name, text in job.questions.items()}
        job.write({name: future.result() for name, future in futures.items()})


main(Job.from_arguments())
