"""What every template can do: render to SQL for the store and to a sentence for people."""

from abc import ABC, abstractmethod


class Template(ABC):
    """A condition on tokens."""

    @abstractmethod
    def sql(self) -> str:
        """One boolean expression over `tokens`."""

    @abstractmethod
    def phrase(self) -> str:
        """What completes "tokens …"."""

    def sentence(self) -> str:
        """The condition in words."""
        return f"Tokens {self.phrase()}."
