"""One delivery stream: transform, convert, buffer, deliver. `delivery.py` is the whole graph on one screen."""
