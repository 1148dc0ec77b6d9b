"""aiohttp without any library around it: no errors told apart, no retries, no types."""

import asyncio

import aiohttp
from job import MAX_TOKENS, MODEL, Job, ask_each


async def main(job: Job) -> None:
    connector = aiohttp.TCPConnector(limit=job.in_flight)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer none"}) as session:

        async def ask(text: str) -> str:
            body = {
                "model": MODEL,
                "messages": [{"role": "user", "content": text}],
                "temperature": 0,
                "max_tokens": MAX_TOKENS,
            }
            async with session.post(f"{job.url}/chat/completions", json=body) as response:
                response.raise_for_status()
                return str((await response.json())["choices"][0]["message"]["content"])

        job.write(await ask_each(job, ask))


asyncio.run(main(Job.from_arguments()))
