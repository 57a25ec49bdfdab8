"""Network errors that another attempt does not help."""

import socket


def is_unresolved(error: BaseException | None) -> bool:
    """Does the host name not exist? (A slow or absent name server gives another error.)"""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return error.errno == socket.EAI_NONAME
        error = error.__cause__ or error.__context__
    return False
