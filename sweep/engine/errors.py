"""What a user did wrong, said in the one form that all such errors have."""

from hydra.errors import CompactHydraException

from sweep.engine.redact import redact, redacted


class UserError(CompactHydraException):
    """An input that is refused: `WHAT: got RECEIVED, allowed is ALLOWED`.

    Any Hydra application prints it as this one message, without a traceback. Our own command line exits with status 2.

    Attributes:
        what: the key, option or file that is wrong.
        received: what it was.
        allowed: what it may be.
    """

    def __init__(self, what: str, received: object, allowed: str) -> None:
        super().__init__(redact(f"{what}: got {received}, allowed is {allowed}"))
        self.what = redact(what)
        self.received = redacted(received)
        self.allowed = redact(allowed)

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, object, str]]:
        """Survives the way from a worker process, where the message alone would not rebuild it."""
        return type(self), (self.what, self.received, self.allowed)
