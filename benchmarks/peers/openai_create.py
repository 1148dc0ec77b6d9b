"""The openai package as its page shows it: one `AsyncOpenAI`, all else as it comes."""

import asyncio

from job import MAX_TOKENS, MODEL, Job, ask_each
from openai import AsyncOpenAI


async def main(job: Job) -> None:
    async with AsyncOpenAI(base_url=job.url, api_key="none") as client:

        async def ask(text: str) -> str:
            completion = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": text}], temperature=0, max_tokens=MAX_TOKENS
            )
            return completion.choices[0].message.content or ""

        job.write(await ask_each(job, ask))


asyncio.run(main(Job.from_arguments()))
