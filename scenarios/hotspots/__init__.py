"""Taxi pickups in one stream; where they cluster is told of each, as it comes."""
