"""The one error of the connectors."""

from __future__ import annotations


class ConnectorError(Exception):
    """A connector could not do what the flow asked of it; raised in the flow as the exception that error_type names."""

    def __init__(self, error_type: str, message: str) -> None:
        """error_type: a class name in flow_api.exceptions. message: what failed, in whose words; no secrets."""
        super().__init__(message)
        self.error_type = error_type
        self.message = message


def refused(message: str) -> ConnectorError:
    """The other side, or the way there, refused."""
    return ConnectorError("ConnectorError", message)


def invalid(message: str) -> ConnectorError:
    """An input has a wrong type or value, or doesn't go with another."""
    return ConnectorError("InvalidInputError", message)


def missing(message: str) -> ConnectorError:
    """A required input is not there."""
    return ConnectorError("MissingInputError", message)


def extra(message: str) -> ConnectorError:
    """An input that the connector does not know, or one too many of several."""
    return ConnectorError("ExtraInputError", message)
