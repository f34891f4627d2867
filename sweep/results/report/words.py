"""How the report says how many there are of something."""


def counted(count: int, thing: str) -> str:
    """A number of things: "1 trial", "2 trials"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
