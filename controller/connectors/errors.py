"""The one error of the connectors."""

from __future__ import annotations


class ConnectorError(Exception):
    """A connector could not do what the flow asked of it; raised in the flow as the exception that error_type names.

    Secrets may stand in what a connector raises: the guard around it replaces them, then cuts detail.
    """

    def __init__(
        self, error_type: str, message: str, *, detail: str = "", transient: bool = False, after_s: float = 0.0
    ) -> None:
        """error_type: a class name in flow_api.exceptions. message: what failed, on what. detail: in whose words.

        transient: another attempt may succeed and does no harm; after_s: not before that many seconds.
        """
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.detail = detail
        self.transient = transient
        self.after_s = after_s


def refused(message: str, detail: str = "", *, transient: bool = False, after_s: float = 0.0) -> ConnectorError:
    """The other side, or the way there, refused."""
    return ConnectorError("ConnectorError", message, detail=detail, transient=transient, after_s=after_s)


def invalid(message: str) -> ConnectorError:
    """An input has a wrong type or value, or doesn't go with another."""
    return ConnectorError("InvalidInputError", message)


def missing(message: str) -> ConnectorError:
    """A required input is not there."""
    return ConnectorError("MissingInputError", message)


def extra(message: str) -> ConnectorError:
    """An input that the connector does not know, or one too many of several."""
    return ConnectorError("ExtraInputError", message)


def words(error: BaseException) -> str:
    """What an exception of a library says, with its type where it says little by itself."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {text}" if text else name
