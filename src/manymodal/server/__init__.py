"""Search as a service: the HTTP application, what it allows, and how it is run."""

from .app import create_app
from .run import serve
from .settings import Limits, ServerSettings

__all__ = ["Limits", "ServerSettings", "create_app", "serve"]
