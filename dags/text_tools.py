"""Functions that python_example.yaml calls."""


def count_words(text: str) -> int:
    words = text.split()
    print(f"counting {len(words)} words")
    return len(words)
