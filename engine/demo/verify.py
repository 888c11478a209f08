"""Asks the demo model every held-out question, greedily, with the double-precision reference (numpy, no torch).

    /usr/bin/python3 engine/demo/verify.py [--before 3] [--first 30]

An answer counts when the generated text up to </s> is exactly the sum and a newline. `--before K` puts K other,
answered held-out questions into the context first. Prints the share of exact answers; exits 1 below --min.
"""

import argparse
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests" / "reference"))
import gguf  # noqa: E402
import llama_reference  # noqa: E402

LONGEST_ANSWER = 5  # "198\n</s>"
ROWS_AT_ONCE = 100


def read_questions(path):
    """Lines "12+34=46" -> [("12+34=", "46")]"""
    lines = path.read_text().split()
    return [(line[: line.index("=") + 1], line[line.index("=") + 1 :]) for line in lines]


def ask(model, prompts):
    """Greedy answers to token rows, up to </s> and without it, as text. Rows of one length go through together, at most
    ROWS_AT_ONCE of them."""
    tokenizer = gguf.CharacterTokenizer(model.metadata["tokenizer.ggml.tokens"])
    answers = [None] * len(prompts)
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    while by_length:
        length = len(prompts[by_length[0]])
        where = [i for i in by_length[:ROWS_AT_ONCE] if len(prompts[i]) == length]
        by_length = by_length[len(where) :]
        rows = np.array([prompts[i] for i in where])
        for _ in range(LONGEST_ANSWER):
            rows = np.concatenate([rows, model.logits(rows)[:, -1].argmax(-1)[:, None]], axis=1)
        for i, row in zip(where, rows[:, length:].tolist()):
            end = row.index(gguf.EOS_ID) if gguf.EOS_ID in row else len(row)
            answers[i] = tokenizer.decode(row[:end])
    return answers


def wrong_answers(model, questions, before=0):
    """[(prompt, expected, got)] of the questions that are not answered exactly."""
    tokenizer = gguf.CharacterTokenizer(model.metadata["tokenizer.ggml.tokens"])
    texts = []
    for i, (prompt, _) in enumerate(questions):
        shots = [questions[(i + k + 1) % len(questions)] for k in range(before)]
        texts.append("".join(f"{q}{a}\n" for q, a in shots) + prompt)
    answers = ask(model, [[gguf.BOS_ID] + tokenizer.encode(text) for text in texts])
    return [(p, e + "\n", got) for (p, e), got in zip(questions, answers) if got != e + "\n"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-m", "--model", default=HERE / "addition.gguf")
    parser.add_argument("--questions", type=pathlib.Path, default=HERE / "held_out.txt")
    parser.add_argument("--first", type=int, help="only the first N questions")
    parser.add_argument("--before", type=int, default=0)
    parser.add_argument("--min", type=float, default=0.99)
    options = parser.parse_args()
    questions = read_questions(options.questions)[: options.first]
    wrong = wrong_answers(llama_reference.Model(options.model), questions, options.before)
    for prompt, expected, got in wrong:
        print(f"{prompt} expected {expected!r}, got {got!r}")
    share = 1 - len(wrong) / len(questions)
    print(f"exact: {len(questions) - len(wrong)} of {len(questions)} ({100 * share:.1f} %)")
    return 0 if share >= options.min else 1


if __name__ == "__main__":
    sys.exit(main())
