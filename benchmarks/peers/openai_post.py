"""The openai package as lean as it gets: its `post` over aiohttp with plain JSON, and nothing around it."""

import asyncio

import httpx2
from job import MAX_TOKENS, MODEL, Job, ask_each
from openai import AsyncOpenAI, DefaultAioHttpClient


async def main(job: Job) -> None:
    limits = httpx2.Limits(
        max_connections=job.in_flight, max_keepalive_connections=job.in_flight, keepalive_expiry=30.0
    )
    async with AsyncOpenAI(base_url=job.url, api_key="none", http_client=DefaultAioHttpClient(limits=limits)) as client:

        async def ask(text: str) -> str:
            body = {
                "model": MODEL,
                "messages": [{"role": "user", "content": text}],
                "temperature": 0,
                "max_tokens": MAX_TOKENS,
            }
            response = await client.post("/chat/completions", cast_to=httpx2.Response, body=body)
            return str(response.json()["choices"][0]["message"]["content"])

        job.write(await ask_each(job, ask))


asyncio.run(main(Job.from_arguments()))
