"""The embedded default: stand-ins that need no Docker."""
