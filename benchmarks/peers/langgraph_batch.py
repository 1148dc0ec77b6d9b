"""LangGraph: a graph of one node that asks a chat model, run over a batch."""

import asyncio

import httpx2
from job import MAX_TOKENS, MODEL, Job
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from openai import DefaultAioHttpClient


def graph(job: Job):
    limits = httpx2.Limits(max_connections=job.in_flight, max_keepalive_connections=job.in_flight)
    model = ChatOpenAI(
        model=MODEL,
        base_url=job.url,
        api_key="none",
        temperature=0,
        max_tokens=MAX_TOKENS,
        http_async_client=DefaultAioHttpClient(limits=limits),
    )

    async def ask(state: MessagesState) -> dict:
        return {"messages": [await model.ainvoke(state["messages"])]}

    built = StateGraph(MessagesState)
    built.add_node("ask", ask)
    built.add_edge(START, "ask")
    built.add_edge("ask", END)
    return built.compile()


async def main(job: Job) -> None:
    inputs = [{"messages": [{"role": "user", "content": text}]} for text in job.questions.values()]
    ends = await graph(job).abatch(inputs, config={"max_concurrency": job.in_flight})
    texts = (end["messages"][-1].content for end in ends)
    job.write(dict(zip(job.questions, texts, strict=True)))


asyncio.run(main(Job.from_arguments()))
