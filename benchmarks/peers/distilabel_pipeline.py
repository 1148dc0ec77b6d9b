"""distilabel: a pipeline that loads rows and generates a text for each, a batch at a time."""

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration
from job import MAX_TOKENS, MODEL, Job


def main(job: Job) -> None:
    llm = OpenAILLM(
        model=MODEL,
        base_url=job.url,
        api_key="none",
        generation_kwargs={"temperature": 0.0, "max_new_tokens": MAX_TOKENS},
    )
    rows = [{"name": name, "instruction": text} for name, text in job.questions.items()]
    with Pipeline(name="questions") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=job.in_flight)
        ask = TextGeneration(llm=llm, input_batch_size=job.in_flight, add_raw_output=False, add_raw_input=False)
        load >> ask
    made = pipeline.run(use_cache=False)["default"]["train"]
    job.write({row["name"]: row["generation"] for row in made})


if __name__ == "__main__":
    main(Job.from_arguments())
