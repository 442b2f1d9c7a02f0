"""Faults on a seeded schedule between AWS's clients and whatever answers them: a reverse proxy that keeps a journal."""
